package user

import (
	"slices"

	"github.com/cqrsflow/cqrsflow/event"
)

// roles are the known ones, and whether they demand a second factor of who has them.
var roles = map[string]bool{
	"customer": false,
	"clerk":    false,
	"auditor":  true,
	"admin":    true,
}

// known returns the roles sorted, which rejects those that there are not.
func known(names []string) ([]string, error) {
	for _, name := range names {
		if _, ok := roles[name]; !ok {
			return nil, event.Reject(CodeUnknownRole, "there is no role %q; there are admin, auditor, clerk and customer", name)
		}
	}
	return slices.Sorted(slices.Values(names)), nil
}

// demandMFA reports whether one of the roles demands a second factor.
func demandMFA(names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return roles[name] })
}
