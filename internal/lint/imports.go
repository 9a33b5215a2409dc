package lint

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// rule is one of the rules of who may import whom, as architecture and CONTRIBUTING number them.
type rule struct {
	number int
	says   string
	// about tells which packages the rule binds.
	about func(pkg string) bool
	// allows tells whether such a package may import another one: of this module, relative to its root, or from outside.
	allows func(pkg string, i imported) bool
	// tests says that the rule binds test code too.
	tests bool
}

// imported is what a file imports.
type imported struct {
	// ours is the folder in this module; empty for others.
	ours string
	// path is the import path of others.
	path string
}

func (i imported) std() bool {
	first, _, _ := strings.Cut(i.path, "/")
	return i.ours == "" && !strings.Contains(first, ".")
}

// third reports whether it is one of those libraries, given as prefixes, or the standard library.
func (i imported) third(prefixes ...string) bool {
	return i.ours == "" && (i.std() || slices.ContainsFunc(prefixes, func(p string) bool { return under(i.path, p) }))
}

func (i imported) String() string { return i.ours + i.path }

func under(pkg, folder string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") }

func underAny(pkg string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return under(pkg, f) })
}

const (
	franz    = "github.com/twmb/franz-go"
	cedar    = "github.com/cedar-policy/cedar-go"
	gonum    = "gonum.org/v1/gonum"
	protobuf = "google.golang.org/protobuf"
)

// concrete are the read models and reactors: those whose business a domain's events are.
var concrete = []string{
	"consumers/postgres/shop",        // orders, customers, daily sales
	"consumers/postgres/identity",    // users, sessions, claims
	"consumers/postgres/experiments", // experiments, their units and what is measured of them
	"consumers/reactor/purchases",    // paying an order records a purchase
	"consumers/revocation",           // who does not count any more
	"internal/searchindex",           // orders_search, for sinks and readers
	"internal/bench",                 // the benchmarks' own account
	"internal/verify",                // daily sales, folded anew to be compared
}

// shapes know messages of a domain, but no events: they make commands or show states.
var shapes = []string{
	"services/api",      // shows states
	"services/identity", // makes commands, reads states
	"internal/cdnow",    // makes commands
}

// schemasOf names the folder of a domain's schemas where it is not the domain's own name.
var schemasOf = map[string]string{"account": "bench"}

var rules = []rule{
	{
		number: 1, says: "event and secret import the standard library only, and principal these two",
		about: func(pkg string) bool {
			return slices.Contains([]string{"event", "event/principal", "internal/secret"}, pkg)
		},
		allows: func(pkg string, i imported) bool {
			return i.std() || pkg == "event/principal" && slices.Contains([]string{"event", "internal/secret"}, i.ours)
		},
	},
	{
		number: 2, says: "decider and topology import event, and topology the Kafka client",
		about: func(pkg string) bool { return underAny(pkg, "decider", "topology") },
		allows: func(pkg string, i imported) bool {
			if pkg == "topology" {
				return i.ours == "event" || i.third(franz)
			}
			return i.ours == "event" || i.third()
		},
	},
	{
		number: 3, says: "a domain imports event, decider, money, throttle and its own generated schema types, never a client library",
		about: func(pkg string) bool { return under(pkg, "domain") },
		allows: func(pkg string, i imported) bool {
			own := path.Base(pkg)
			if other, ok := schemasOf[own]; ok {
				own = other
			}
			return i.third(protobuf) || slices.Contains([]string{"event", "decider", "domain/money", "domain/throttle"}, i.ours) ||
				generated(i.ours) && underAny(i.ours, "schemas/"+own, "schemas/cqrsflow/type")
		},
	},
	{
		number: 4, says: "engines never import a domain",
		about: func(pkg string) bool {
			return underAny(pkg, "producer", "consumers", "query", "compare", "schemas", "topology", "decider")
		},
		allows: func(_ string, i imported) bool { return !under(i.ours, "domain") },
	},
	{
		number: 5, says: "producer, consumers, query and compare never import each other",
		about: func(pkg string) bool { return underAny(pkg, "producer", "consumers", "query", "compare") },
		allows: func(pkg string, i imported) bool {
			own, _, _ := strings.Cut(pkg, "/")
			return !underAny(i.ours, "producer", "consumers", "query", "compare") || under(i.ours, own)
		},
	},
	{
		number: 6, says: "only a concrete read model or reactor knows a domain's messages",
		about: func(pkg string) bool {
			return !underAny(pkg, "domain", "schemas", "internal/aggregates", "cmd", "integration") && !underAny(pkg, concrete...) && !underAny(pkg, shapes...)
		},
		allows: func(_ string, i imported) bool {
			return !under(i.ours, "schemas") || i.ours == "schemas" || underAny(i.ours, "schemas/record", "schemas/cqrsflow")
		},
	},
	{
		number: 7, says: "services use producer.Publisher and query, not consumers, topology or a domain",
		about:  func(pkg string) bool { return under(pkg, "services") },
		allows: func(_ string, i imported) bool { return !underAny(i.ours, "consumers", "topology", "domain") },
	},
	{
		number: 8, says: "nothing imports cmd or integration", tests: true,
		about:  func(pkg string) bool { return !underAny(pkg, "cmd", "integration") },
		allows: func(_ string, i imported) bool { return !underAny(i.ours, "cmd", "integration") },
	},
	{
		number: 9, says: "experiment imports event, gonum and plots: statistics, assignment and results know no engine, no store and no domain",
		about: func(pkg string) bool { return under(pkg, "experiment") },
		allows: func(_ string, i imported) bool {
			return i.third(gonum) || slices.Contains([]string{"event", "internal/plot"}, i.ours) || under(i.ours, "experiment")
		},
	},
	{
		number: 10, says: "engines never import a service: who may do what, they ask through an interface",
		about:  func(pkg string) bool { return underAny(pkg, "producer", "consumers", "query", "compare") },
		allows: func(_ string, i imported) bool { return !under(i.ours, "services") },
	},
	{
		number: 11, says: "only services/policy knows Cedar",
		about:  func(pkg string) bool { return !under(pkg, "services/policy") },
		allows: func(_ string, i imported) bool { return !under(i.path, cedar) },
	},
}

// generated reports whether a folder of schemas holds generated code: schemas/order/v1, not schemas/order.
func generated(pkg string) bool {
	last := path.Base(pkg)
	return under(pkg, "schemas") && len(last) > 1 && last[0] == 'v' && last[1] >= '0' && last[1] <= '9'
}

// broken lists the imports of a file that break a rule.
func broken(f file) []string {
	var out []string
	for _, p := range f.imports {
		i := imported{path: p}
		if ours, ok := strings.CutPrefix(p, module+"/"); ok {
			i = imported{ours: ours}
		}
		for _, r := range rules {
			if (!f.test || r.tests) && r.about(f.pkg) && !r.allows(f.pkg, i) {
				out = append(out, fmt.Sprintf("%s imports %s; rule %d: %s", f.name, i, r.number, r.says))
			}
		}
	}
	return out
}

// brokenUses lists what a file takes from packages that it may import, but should leave: events in the shapes
// (rule 6), the processor in services (rule 7). isEvent knows names such as "schemas/order/v1.OrderPaid".
func brokenUses(f file, isEvent func(string) bool) []string {
	var out []string
	for _, use := range f.uses {
		switch {
		case f.test:
		case underAny(f.pkg, shapes...) && isEvent(use):
			out = append(out, fmt.Sprintf("%s uses %s; rule 6: only a concrete read model or reactor knows a domain's events", f.name, use))
		case under(f.pkg, "services") && strings.HasPrefix(use, "producer.") && strings.Contains(use, "Processor"):
			out = append(out, fmt.Sprintf("%s uses %s; rule 7: services use producer.Publisher", f.name, use))
		}
	}
	return out
}
