package identity

// Rest waits until nothing goes on any more that was left for after an answer.
func (s *Service) Rest() {
	for range cap(s.slots) { // whoever has all of them knows that nobody else has one
		s.slots <- struct{}{}
	}
	for range cap(s.slots) {
		<-s.slots
	}
}

// Routes are the methods and paths that are served.
func Routes() (out []string) {
	for _, r := range (&Service{}).table() {
		out = append(out, r.method+" "+r.path)
	}
	return out
}
