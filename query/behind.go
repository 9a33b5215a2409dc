package query

import "errors"

// ErrBehind: the read model had not applied the positions asked for when the time to wait was over.
// Asking again later succeeds.
var ErrBehind = errors.New("projection behind")
