// Package app puts the parts together: the roles of `cqrsflow serve` on real servers, and `cqrsflow dev`, which is
// all of them in one process on embedded servers. It decides what starts after what, and what each role is
// ready by; everything else is in the parts.
//
// Order of starting: listeners (a taken port is found before anything else has begun), operations port, servers,
// topics, stores, roles. Order of stopping: the reverse, by the stages of internal/lifecycle.
package app
