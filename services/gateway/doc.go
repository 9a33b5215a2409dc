// Package gateway is the one public door: it stands before the backends of commands, queries and users, in this process or on
// other hosts, and decides whether a request may come in, where it goes, and what of the answer goes out.
package gateway
