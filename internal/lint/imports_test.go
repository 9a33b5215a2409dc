package lint

import (
	"slices"
	"strings"
	"testing"

	"github.com/cqrsflow/cqrsflow/internal/aggregates"
)

func files(t *testing.T) []file {
	t.Helper()
	files, err := source("../..")
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// isEvent knows the events of all aggregates: "order.v1.OrderPaid" is schemas/order/v1.OrderPaid in Go.
func isEvent(use string) bool {
	name := strings.ReplaceAll(strings.TrimPrefix(use, "schemas/"), "/", ".")
	for _, typ := range append(aggregates.All(), aggregates.Account()) {
		if slices.Contains(typ.Events, name) {
			return true
		}
	}
	return false
}

func TestWhoImportsWhom(t *testing.T) {
	bound := map[int]bool{}
	for _, f := range files(t) {
		for _, problem := range append(broken(f), brokenUses(f, isEvent)...) {
			t.Error(problem)
		}
		for _, r := range rules {
			bound[r.number] = bound[r.number] || r.about(f.pkg)
		}
	}
	// A rule about folders that have been renamed would hold for ever.
	for _, r := range rules {
		if !bound[r.number] {
			t.Errorf("rule %d binds no package: %s", r.number, r.says)
		}
	}
}

// An exception for a package that is gone, or no longer needs it, is one too many.
func TestExceptionsAreNeeded(t *testing.T) {
	all := files(t)
	for _, pkg := range append(slices.Clone(concrete), shapes...) {
		if !slices.ContainsFunc(all, func(f file) bool {
			return under(f.pkg, pkg) && slices.ContainsFunc(f.imports, func(i string) bool { return generated(strings.TrimPrefix(i, module+"/")) })
		}) {
			t.Errorf("%s may know a domain's messages, but knows none", pkg)
		}
	}
}

// Each rule catches what it is about, and lets pass what is right.
func TestRulesCatch(t *testing.T) {
	const ours = module + "/"
	for _, tc := range []struct {
		name, imports string
		rule          string // empty: allowed
	}{
		{"event/errors.go", "errors", ""},
		{"event/errors.go", ours + "decider", "rule 1"},
		{"event/errors.go", "github.com/google/uuid", "rule 1"},
		{"event/errors_test.go", "github.com/google/go-cmp/cmp", ""},
		{"event/principal/sign.go", ours + "event", ""},
		{"event/principal/sign.go", ours + "internal/secret", ""},
		{"event/principal/sign.go", ours + "schemas/record", "rule 1"},
		{"event/principal/sign.go", "golang.org/x/crypto/argon2", "rule 1"},
		{"internal/secret/keys.go", ours + "event", "rule 1"},
		{"decider/type.go", ours + "event", ""},
		{"decider/type.go", ours + "topology", "rule 2"},
		{"decider/type.go", "google.golang.org/protobuf/proto", "rule 2"},
		{"decider/decidertest/laws.go", "google.golang.org/protobuf/proto", ""},
		{"topology/plan.go", "github.com/twmb/franz-go/pkg/kgo", ""},
		{"topology/plan.go", "github.com/jackc/pgx/v5", "rule 2"},
		{"topology/plan.go", ours + "schemas/record", "rule 2"},
		{"domain/order/decide.go", ours + "schemas/order/v1", ""},
		{"domain/order/decide.go", ours + "schemas/order/v2", ""},
		{"domain/order/decide.go", ours + "schemas/cqrsflow/type/v1", ""},
		{"domain/order/decide.go", ours + "domain/money", ""},
		{"domain/order/decide.go", "google.golang.org/protobuf/proto", ""},
		{"domain/account/account.go", ours + "schemas/bench/v1", ""},
		{"domain/order/decide.go", ours + "schemas/order", "rule 3"},
		{"domain/order/decide.go", ours + "schemas", "rule 3"},
		{"domain/order/decide.go", ours + "schemas/customer/v1", "rule 3"},
		{"domain/order/decide.go", ours + "schemas/cqrsflow/v1", "rule 3"},
		{"domain/order/decide.go", ours + "domain/customer", "rule 3"},
		{"domain/order/decide.go", "github.com/twmb/franz-go/pkg/kgo", "rule 3"},
		{"domain/order/decide.go", ours + "topology", "rule 3"},
		{"domain/order/decide_test.go", ours + "decider/decidertest", ""},
		{"producer/processor.go", ours + "decider", ""},
		{"producer/processor.go", ours + "domain/order", "rule 4"},
		{"consumers/postgres/shop/orders.go", ours + "domain/order", "rule 4"},
		{"consumers/internal/logtest/types.go", ours + "domain/order", ""},
		{"query/history.go", ours + "domain/order", "rule 4"},
		{"schemas/order/registry.go", ours + "domain/order", "rule 4"},
		{"producer/processor.go", ours + "query", "rule 5"},
		{"consumers/runner/runner.go", ours + "producer", "rule 5"},
		{"query/waiter.go", ours + "consumers/runner", "rule 5"},
		{"query/search/reader.go", ours + "query", ""},
		{"consumers/history/sink.go", ours + "consumers/runner", ""},
		{"consumers/postgres/shop/orders.go", ours + "schemas/order/v1", ""},
		{"internal/searchindex/fold.go", ours + "schemas/order/v1", ""},
		{"consumers/postgres/sink.go", ours + "schemas/order/v1", "rule 6"},
		{"consumers/runner/runner.go", ours + "schemas/order", "rule 6"},
		{"consumers/runner/runner.go", ours + "schemas/record", ""},
		{"producer/processor.go", ours + "schemas/cqrsflow/v1", ""},
		{"query/orders.go", ours + "schemas/order/v1", "rule 6"},
		{"internal/app/app.go", ours + "schemas/order/v1", "rule 6"},
		{"internal/aggregates/aggregates.go", ours + "schemas/order", ""},
		{"services/api/dto.go", ours + "schemas/order/v1", ""},
		{"services/gateway/overview.go", ours + "schemas/order/v1", "rule 6"},
		{"services/api/commands.go", ours + "producer", ""},
		{"services/api/queries.go", ours + "query", ""},
		{"services/api/queries.go", ours + "consumers/postgres", "rule 7"},
		{"services/api/queries.go", ours + "domain/order", "rule 7"},
		{"services/api/queries.go", ours + "topology", "rule 7"},
		{"internal/app/app.go", ours + "cmd/cqrsflow", "rule 8"},
		{"internal/app/app_test.go", ours + "integration/containers", "rule 8"},
		{"integration/robustness/faults/pause.go", ours + "integration/containers", ""},
		{"experiment/stats/compare.go", "gonum.org/v1/gonum/stat/distuv", ""},
		{"experiment/stats/compare.go", ours + "event", ""},
		{"experiment/assign/assign.go", ours + "decider", "rule 9"},
		{"experiment/stats/compare.go", "github.com/jackc/pgx/v5", "rule 9"},
		{"producer/permission.go", ours + "services/policy", "rule 10"},
		{"internal/app/policy.go", ours + "services/policy", ""},
		{"services/policy/set.go", "github.com/cedar-policy/cedar-go", ""},
		{"internal/app/policy.go", "github.com/cedar-policy/cedar-go", "rule 11"},
		{"cmd/cqrsflow/main.go", ours + "internal/app", ""},
		{"cmd/cqrsflow/main.go", ours + "domain/order", ""},
	} {
		f := file{name: tc.name, pkg: tc.name[:strings.LastIndex(tc.name, "/")], imports: []string{tc.imports}}
		f.test = strings.HasSuffix(tc.name, "_test.go") || strings.HasSuffix(f.pkg, "test")
		got := broken(f)
		if tc.rule == "" && len(got) > 0 || tc.rule != "" && !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, tc.rule+":") }) {
			t.Errorf("%s imports %s: it says %q, want %q", tc.name, tc.imports, got, tc.rule)
		}
	}
}

func TestUsesCatch(t *testing.T) {
	for _, tc := range []struct {
		pkg, use string
		bad      bool
	}{
		{"services/api", "schemas/order/v1.OrderState", false},
		{"services/api", "schemas/order/v1.OrderPaid", true},
		{"internal/cdnow", "schemas/order/v1.PlaceOrder", false},
		{"internal/cdnow", "schemas/order/v2.OrderAnnotated", true},
		{"consumers/postgres/shop", "schemas/order/v1.OrderPaid", false},
		{"services/api", "producer.Publisher", false},
		{"services/api", "producer.NewProcessor", true},
		{"internal/app", "producer.NewProcessor", false},
	} {
		got := brokenUses(file{name: tc.pkg + "/x.go", pkg: tc.pkg, uses: []string{tc.use}}, isEvent)
		if tc.bad != (len(got) > 0) {
			t.Errorf("%s uses %s: %q", tc.pkg, tc.use, got)
		}
	}
}

// The reading of source finds imports and uses, under the names that files give them.
func TestSource(t *testing.T) {
	all := files(t)
	i := slices.IndexFunc(all, func(f file) bool { return f.name == "domain/order/decide.go" })
	if i < 0 {
		t.Fatal("domain/order/decide.go was not read")
	}
	f := all[i]
	if f.pkg != "domain/order" || f.test || !slices.Contains(f.imports, module+"/schemas/order/v2") || !slices.Contains(f.uses, "schemas/order/v2.OrderAnnotated") {
		t.Errorf("it was read as %+v", f)
	}
	for _, f := range all {
		if strings.HasPrefix(f.name, "tools/") {
			t.Errorf("%s is of another module", f.name)
		}
		if f.test != (strings.HasSuffix(f.name, "_test.go") || strings.HasSuffix(f.pkg, "test")) {
			t.Errorf("%s: test is %v", f.name, f.test)
		}
	}
}
