package main

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// bases names the commits whose schemas must stay readable:
//   - the one that was asked for, and then no other;
//   - the latest release, a tag v*, that HEAD contains;
//   - where HEAD left main (or origin/main), unless HEAD is part of it;
//   - HEAD, where the working tree's schemas differ from it, else the commit before it.
//
// Commits without schemas are left out. None where the clone has no such commit: a repository's first one, or a
// shallow clone.
func bases(ctx context.Context, repo, asked string) ([]string, error) {
	if asked != "" {
		rev, err := git(ctx, repo, "rev-parse", "--verify", "--quiet", asked+"^{commit}")
		if err != nil {
			return nil, fmt.Errorf("SCHEMAS_AGAINST=%s is no commit of this clone: %w", asked, err)
		}
		return []string{strings.TrimSpace(rev)}, nil
	}
	head, ok := try(ctx, repo, "rev-parse", "--verify", "--quiet", "HEAD")
	if !ok {
		return nil, nil
	}
	var revs []string
	add := func(rev string) {
		if rev == "" || slices.Contains(revs, rev) {
			return
		}
		if names, ok := try(ctx, repo, "ls-tree", "-r", "--name-only", rev, "--", schemasDir); ok && strings.Contains(names, ".proto") {
			revs = append(revs, rev)
		}
	}
	if tag, ok := try(ctx, repo, "describe", "--tags", "--abbrev=0", "--match", "v[0-9]*"); ok {
		rev, _ := try(ctx, repo, "rev-parse", tag+"^{commit}")
		add(rev)
	}
	for _, main := range []string{"origin/main", "main"} {
		if rev, ok := try(ctx, repo, "merge-base", main, "HEAD"); ok && rev != head {
			add(rev)
			break
		}
	}
	if _, same := try(ctx, repo, "diff", "--quiet", "HEAD", "--", schemasDir+"/*.proto"); !same {
		add(head)
	} else if rev, ok := try(ctx, repo, "rev-parse", "--verify", "--quiet", "HEAD~1"); ok {
		add(rev)
	}
	return revs, nil
}

// try runs git where failing is an answer.
func try(ctx context.Context, repo string, args ...string) (string, bool) {
	out, err := git(ctx, repo, args...)
	return strings.TrimSpace(out), err == nil
}

func git(ctx context.Context, repo string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = repo
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w", strings.Join(args, " "), withStderr(err))
	}
	return string(out), nil
}
