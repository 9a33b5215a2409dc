// Package lint holds rules about the source itself that compilers and common linters do not know. Its
// tests are the rules.
package lint
