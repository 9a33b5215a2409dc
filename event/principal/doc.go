// Package principal says who asks for a command, and proves it: the header cqrs-auth of a command's record names the principal
// and carries an HMAC over everything in the record that the decision depends on. Whoever can write to a commands topic, but
// has no key, can neither name a principal nor change, move or repeat under another ID what a principal signed.
package principal
