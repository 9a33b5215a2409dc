// Package apidoc is how a service says what its operations are, for whoever writes the document of the whole API: services do
// not know each other.
package apidoc

// Operation is one method of one path.
type Operation struct {
	// Method and Path; the path's variables are in braces.
	Method, Path string
	// ID is unique in the document; Tag says which group the operation is in. Summary is a line, About the rest; it may be empty.
	ID, Tag, Summary, About string
	// Query are the parameters that it takes, by name: what they are.
	Query map[string]string
	// Private needs an access token; Role, where there is one, a role besides.
	Private bool
	Role    string
	// Body is an example of what is sent as JSON, of the type that the handler reads; nil where nothing is.
	Body any
	// Status is that of an answer that is no problem, Answer an example of it, of the type that the handler writes; nil where it has
	// no body. ContentType is that of the body; application/json.
	Status      int
	Answer      any
	ContentType string
	// Problems are the codes that it can answer with, besides those that all operations can.
	Problems []string
}

// Problem is a kind of problem (RFC 9457).
type Problem struct {
	Code   string
	Status int
	// Title and Text are for people.
	Title, Text string
}
