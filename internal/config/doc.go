// Package config holds every setting of the binary, defined once: the tags of Settings give each one its
// key in the YAML file, its environment variable, its flag, default, bounds and help, and from them come
// the flags of the commands, the checks, `--help` and docs/configuration.md.
//
// Precedence: flags, then the environment, then the YAML file, then defaults. What is not known (a key of
// the file, a CQRSFLOW_… variable) and what is out of bounds is an error that names it; all of them are
// reported at once and wrap event.ErrConfig.
package config
