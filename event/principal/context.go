package principal

import "context"

type contextKey struct{}

// NewContext puts who asks into a context: what is done with it is done for that principal.
func NewContext(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, contextKey{}, p)
}

// FromContext is who asks; the anonymous principal where nobody was put in.
func FromContext(ctx context.Context) Principal {
	p, _ := ctx.Value(contextKey{}).(Principal)
	return p
}
