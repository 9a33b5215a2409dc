package containers

import "context"

// file is put into the container before it starts.
type file struct {
	path    string
	content []byte
}

// File puts a file into the container before its server starts; everybody in it may read it.
func File(path string, content []byte) Option {
	return func(s *spec) { s.files = append(s.files, file{path, content}) }
}

// Command is what the container runs, instead of what this package would have it run.
func Command(cmd ...string) Option { return func(s *spec) { s.cmd = cmd } }

// Ready asks the server something, instead of what this package would ask: it returns nil when the server answers.
func Ready(ready func(ctx context.Context, hostPort string) error) Option {
	return func(s *spec) { s.ready = ready }
}
