// Package secret keeps secrets out of logs, messages and JSON, and holds the keys that a configuration names.
package secret
