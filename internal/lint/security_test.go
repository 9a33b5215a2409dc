package lint

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Whatever docs/security.md says is held by a test is: the test exists, in the package that is named.
func TestSecurityNamesTestsThatExist(t *testing.T) {
	text, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	held := 0
	for _, line := range strings.Split(string(text), "\n") {
		if !regexp.MustCompile(`^\| [0-9]`).MatchString(line) {
			continue
		}
		named := regexp.MustCompile("`([a-z0-9/]+)` `(Test[A-Za-z0-9_]+)`").FindAllStringSubmatch(line, -1)
		if len(named) == 0 || len(named) != strings.Count(line, "`Test") {
			t.Errorf("a check names no test, or one without its package: %s", line)
		}
		for _, n := range named {
			held++
			if !declares(t, n[1], n[2]) {
				t.Errorf("there is no %s in %s: %s", n[2], n[1], line)
			}
		}
	}
	if held == 0 {
		t.Error("no check is held by a test")
	}
}

func declares(t *testing.T, pkg, test string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("../..", pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		source, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(source), "\nfunc "+test+"(t *testing.T)") {
			return true
		}
	}
	return false
}
