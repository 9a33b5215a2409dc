// Package secure runs cqrsflow against servers that take nobody without TLS and a login.
package secure
