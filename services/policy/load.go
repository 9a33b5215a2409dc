package policy

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/cqrsflow/cqrsflow/event"
)

// Source is a file of policies.
type Source struct {
	Name string
	Text []byte
}

//go:embed defaults/*.cedar
var defaults embed.FS

// Defaults are the policies that come with the sample aggregates: see docs/policies.md.
func Defaults() []Source {
	names, err := fs.Glob(defaults, "defaults/*.cedar")
	var out []Source
	for _, name := range names {
		var text []byte
		if text, err = defaults.ReadFile(name); err != nil {
			break
		}
		out = append(out, Source{Name: name, Text: text})
	}
	if err != nil || len(out) == 0 {
		panic(fmt.Sprintf("policy: the built-in policies: %v", err)) // they are compiled in
	}
	return out
}

// ReadDir reads the files *.cedar of a folder, in the order of their names. A folder without any is a mistake, not a set
// of no policies. Errors wrap event.ErrConfig.
func ReadDir(dir string) ([]Source, error) {
	names, err := filepath.Glob(filepath.Join(strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir), "*.cedar"))
	if err != nil {
		return nil, fmt.Errorf("%w: policies: %s: %w", event.ErrConfig, dir, err)
	}
	if len(names) == 0 {
		if _, err := os.Stat(dir); err != nil {
			return nil, fmt.Errorf("%w: policies: %w", event.ErrConfig, err)
		}
		return nil, fmt.Errorf("%w: policies: the folder %s has no file *.cedar", event.ErrConfig, dir)
	}
	return ReadFiles(names...)
}

// ReadFiles reads files. Errors wrap event.ErrConfig.
func ReadFiles(names ...string) ([]Source, error) {
	var out []Source
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("%w: policies: %w", event.ErrConfig, err)
		}
		out = append(out, Source{Name: name, Text: text})
	}
	return out, nil
}

// Problem is what is wrong with a policy. It wraps event.ErrConfig.
type Problem struct {
	File string `json:"file"`
	// Line and Column are from 1; that of the policy's beginning where it can be read.
	Line   int `json:"line"`
	Column int `json:"column,omitempty"`
	// Policy is its ID; empty where it has none, or cannot be read.
	Policy string `json:"policy,omitempty"`
	Reason string `json:"reason"`
}

// Error begins with "file:line:", as editors understand it.
func (p *Problem) Error() string {
	who := ""
	if p.Policy != "" {
		who = "policy " + p.Policy + ": "
	}
	return fmt.Sprintf("%s:%d: %s%s", p.File, p.Line, who, p.Reason)
}

// Unwrap returns event.ErrConfig.
func (p *Problem) Unwrap() error { return event.ErrConfig }

// Problems takes the problems out of an error that Parse returned.
func Problems(err error) []*Problem {
	var out []*Problem
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			out = append(out, Problems(e)...)
		}
	} else if p, ok := errors.AsType[*Problem](err); ok {
		out = append(out, p)
	}
	return out
}

var policyID = regexp.MustCompile(`^[a-z][a-z0-9-]{0,63}$`)

// Parse reads policies and checks them against the vocabulary: that every entity type, action and attribute exists, that
// types fit, that optional attributes are looked for before they are used, and that a policy can apply at all. Each
// needs an ID of its own: @id("a-name"). Its error joins a *Problem for each mistake.
func Parse(v *Vocabulary, sources []Source) (*Set, error) {
	s := &Set{vocabulary: v}
	var problems []*Problem
	seen := map[string]*cedar.Policy{}
	for _, src := range sources {
		list, err := cedar.NewPolicyListFromBytes(src.Name, src.Text)
		if err != nil {
			problems = append(problems, unread(src, err))
			continue
		}
		for _, p := range list {
			id := string(p.Annotations()["id"])
			bad := func(reason string) {
				problems = append(problems, &Problem{File: src.Name, Line: p.Position().Line, Column: p.Position().Column, Policy: id, Reason: reason})
			}
			first, twice := seen[id]
			switch {
			case id == "":
				bad(`it has no ID: write @id("a-name") before it`)
				continue
			case !policyID.MatchString(id) || id == DefaultDeny:
				bad("the ID must be a lower case letter, then letters, digits and dashes, at most 64, and not " + DefaultDeny)
				continue
			case twice:
				bad(fmt.Sprintf("the ID is there twice: %s:%d has it, too", first.Position().Filename, first.Position().Line))
				continue
			}
			seen[id] = p
			if err := v.validator.Policy("", (*ast.Policy)(p.AST())); err != nil {
				bad(strings.ReplaceAll(err.Error(), "\n", "; "))
				continue
			}
			s.policies = append(s.policies, named{cedar.PolicyID(id), p})
			if may := permits(p); may != nil {
				s.possible = append(s.possible, named{cedar.PolicyID(id), may})
			}
		}
	}
	if len(problems) > 0 {
		slices.SortStableFunc(problems, func(a, b *Problem) int { return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line)) })
		errs := make([]error, len(problems))
		for i, p := range problems {
			errs[i] = p
		}
		return nil, errors.Join(errs...)
	}
	return s, nil
}

var parsedUntil = regexp.MustCompile(`<input>:(\d+):(\d+)`)

// unread finds the place in what Cedar's parser says.
func unread(src Source, err error) *Problem {
	p := &Problem{File: src.Name, Line: 1, Reason: strings.TrimPrefix(err.Error(), "parser error: ")}
	if at := parsedUntil.FindStringSubmatchIndex(p.Reason); at != nil {
		p.Line, _ = strconv.Atoi(p.Reason[at[2]:at[3]])
		p.Column, _ = strconv.Atoi(p.Reason[at[4]:at[5]])
		p.Reason = "it cannot be read:" + p.Reason[at[1]:]
	}
	return p
}
