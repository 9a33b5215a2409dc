package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/internal/devfile"
	"github.com/cqrsflow/cqrsflow/internal/embedded/postgres"
	"github.com/cqrsflow/cqrsflow/services/ops"
	"github.com/cqrsflow/cqrsflow/topology"
)

// asProgram makes the test binary be the program, for tests that kill it.
const asProgram = "TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// output is what a program in the background writes.
type output struct {
	mu   sync.Mutex
	b    bytes.Buffer
	news chan struct{}
}

func newOutput() *output { return &output{news: make(chan struct{}, 1)} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.news <- struct{}{}:
	default:
	}
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// running is a `cqrsflow dev`.
type running struct {
	t      *testing.T
	dir    string
	stdout *output
	stderr *output
	ended  chan int
	stop   func()
	kill   func()
}

func devArgs(dir string, more ...string) []string {
	return append([]string{"dev", "--data", dir, "--http", "127.0.0.1:0", "--ops", "127.0.0.1:0", "--kafka", "127.0.0.1:0", "--partitions", "4"}, more...)
}

// startDev runs dev within the test.
func startDev(t *testing.T, dir string, more ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t: t, dir: dir, stdout: newOutput(), stderr: newOutput(), ended: make(chan int, 1), stop: cancel, kill: cancel}
	go func() {
		r.ended <- run(ctx, &environment{args: devArgs(dir, more...), stdin: strings.NewReader(""), stdout: r.stdout, stderr: r.stderr})
	}()
	t.Cleanup(func() { cancel(); r.wait() })
	return r
}

// spawnDev runs dev as a process of its own.
func spawnDev(t *testing.T, dir string, more ...string) *running {
	t.Helper()
	r := &running{t: t, dir: dir, stdout: newOutput(), stderr: newOutput(), ended: make(chan int, 1)}
	cmd := exec.Command(os.Args[0], devArgs(dir, more...)...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Stdout, cmd.Stderr = r.stdout, r.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.stop = func() { _ = cmd.Process.Signal(os.Interrupt) }
	r.kill = func() { _ = cmd.Process.Kill() }
	go func() {
		_ = cmd.Wait()
		r.ended <- cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() { r.kill(); r.wait() })
	return r
}

// wait returns the exit code, the same each time.
func (r *running) wait() int {
	select {
	case code := <-r.ended:
		r.ended <- code
		return code
	case <-time.After(time.Minute):
		r.t.Errorf("dev does not end\n%s", r.stderr)
		return -1
	}
}

// await blocks until dev has said something.
func (r *running) await(text string) {
	r.t.Helper()
	deadline := time.After(3 * time.Minute)
	for !strings.Contains(r.stdout.String(), text) {
		select {
		case <-r.stdout.news:
		case code := <-r.ended:
			r.ended <- code
			if strings.Contains(r.stderr.String(), postgres.ErrNoBinaries.Error()) && os.Getenv("CQRSFLOW_INTEGRATION") != "require" {
				r.t.Skipf("there is no PostgreSQL on this machine and none could be fetched:\n%s", r.stderr)
			}
			r.t.Fatalf("dev ended with %d before it said %q\n%s%s", code, text, r.stdout, r.stderr)
		case <-deadline:
			r.t.Fatalf("dev does not say %q\n%s%s", text, r.stdout, r.stderr)
		}
	}
}

func (r *running) file() *devfile.File {
	r.t.Helper()
	f, err := devfile.Find(r.dir)
	if err != nil || f == nil {
		r.t.Fatalf("dev.json: %+v, %v", f, err)
	}
	return f
}

// get asks the HTTP API for what must be there, ask for what may not be there yet.
func (r *running) get(path string, out any) {
	r.t.Helper()
	if status := r.ask(path, out); status != http.StatusOK {
		r.t.Fatalf("%s: %d", path, status)
	}
}

func (r *running) ask(path string, out any) (status int) {
	r.t.Helper()
	resp := r.send(http.MethodGet, path, "", r.file().Token)
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		r.t.Fatalf("%s: %v", path, err)
	}
	return resp.StatusCode
}

// send sends a request with a token; the caller closes the answer's body.
func (r *running) send(method, path, body, token string) *http.Response {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.file().Server+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp
}

// client runs a client command that finds the dev.
func (r *running) client(code int, args ...string) string {
	r.t.Helper()
	got, out, errs := cqrsflow(r.t, "", nil, append(args, "--data", r.dir)...)
	if got != code {
		r.t.Errorf("%v: exit code %d, want %d\n%s%s", args, got, code, out, errs)
	}
	return out
}

// cdnowFile writes the first n purchases of the real data.
func cdnowFile(t *testing.T, n int) string {
	t.Helper()
	f, err := os.Open("../../integration/testdata/cdnow.txt.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(all), "\n")
	path := filepath.Join(t.TempDir(), "cdnow.txt")
	if err := os.WriteFile(path, []byte(strings.Join(lines[:n+1], "")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The whole program, on embedded servers: a command through each way in, every way to look at it, a restart, a reset.
func TestDev(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	d := startDev(t, dir)
	d.await("Ctrl-C stops")
	for _, want := range []string{"cqrsflow dev is ready", d.file().Server + "/docs", d.file().Kafka, "/v1/orders/o-1/place"} {
		if !strings.Contains(d.stdout.String(), want) {
			t.Errorf("the first screen lacks %q:\n%s", want, d.stdout)
		}
	}
	if code, _, errs := cqrsflow(t, "", nil, devArgs(dir)...); code != 1 || !strings.Contains(errs, "another cqrsflow dev runs on "+dir) {
		t.Errorf("a second dev: %d, %s", code, errs)
	}
	documentsAreCurrent(t, d)
	place := `{"customer":"ada","lines":[{"sku":"cd","name":"CD","quantity":1,"total":{"amount":"11.77","currency":"USD"}}]}`
	resp := d.send(http.MethodPost, "/v1/orders/o-1/place", place, d.file().Token)
	_ = resp.Body.Close()
	position := resp.Header.Get("Cqrs-Position")
	if resp.StatusCode != 200 || position == "" {
		t.Fatalf("place: %s, position %q", resp.Status, position)
	}
	if out := d.client(0, "publish", "order/o-1", "annotate", `{"text":"a gift"}`); !strings.Contains(out, "version   2") {
		t.Errorf("publish: %s", out)
	}
	d.client(1, "publish", "order/o-1", "ship")
	awaitReadModels(t, d)
	if out := d.client(0, "stream", "show", "order/o-1"); !strings.Contains(out, "order.v1.OrderPlaced") || !strings.Contains(out, "order.v2.OrderAnnotated") {
		t.Errorf("stream show: %s", out)
	}
	if out := d.client(0, "stream", "state", "order/o-1", "--version", "1"); strings.Contains(out, "a gift") || !strings.Contains(out, `"status": "placed"`) {
		t.Errorf("stream state: %s", out)
	}
	if out := d.client(0, "stream", "diff", "order/o-1", "1", "2"); !strings.Contains(out, "notes[0]") {
		t.Errorf("stream diff: %s", out)
	}
	d.client(0, "stream", "verify", "order/o-1")
	d.client(0, "projection", "verify")
	if out := d.client(0, "projection", "list"); !strings.Contains(out, "cqrsflow.orders_search.v1  Stable") {
		t.Errorf("projection list: %s", out)
	}
	if out := d.client(0, "parked", "list"); !strings.Contains(out, "nothing is parked") {
		t.Errorf("parked list: %s", out)
	}
	d.client(1, "parked", "retry", "orders", "order/o-1")
	d.client(1, "parked", "drop", "orders_search", "order/o-1")
	d.client(0, "topology", "verify")
	rebuildAndHeal(t, d)
	for _, path := range []string{"/metrics", "/livez", "/readyz", "/startupz", "/debug/pprof/", "/debug/vars", "/users", "/parked", "/versions"} {
		resp, err := http.Get(d.file().Server + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s is on the public port: %s", path, resp.Status)
		}
	}
	if out := d.client(0, "ready"); !strings.Contains(out, "command ") || strings.Contains(out, "not ready") {
		t.Errorf("ready: %s", out)
	}
	smoked := d.client(0, "smoke")
	for _, want := range []string{"place an order      accepted at order/", "read it from SQL    placed", "find it by search   placed", "see that in SQL     cancelled", "see that by search  cancelled"} {
		if !strings.Contains(smoked, want) {
			t.Errorf("smoke lacks %q:\n%s", want, smoked)
		}
	}
	for path, want := range map[string]string{
		"/metrics": `cqrsflow_command_outcomes_total{aggregate="order",kind="rejected",replayed="false"} 1`,
		"/readyz":  `"ready":true`,
		"/parked":  `"unauthenticated"`,
	} {
		resp, err := http.Get(d.file().Ops + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || !strings.Contains(string(body), want) {
			t.Errorf("%s lacks %s (%v):\n%s", path, want, err, body)
		}
	}
	d.stop()
	if code := d.wait(); code != 0 {
		t.Fatalf("dev ended with %d\n%s", code, d.stderr)
	}
	if f, err := devfile.Find(dir); f != nil || err != nil {
		t.Errorf("dev.json was left: %+v, %v", f, err)
	}

	again := startDev(t, dir)
	again.await("Ctrl-C stops")
	var order struct {
		Version int    `json:"version"`
		Status  string `json:"status"`
	}
	if again.get("/v1/orders/o-1", &order); order.Version != 2 || order.Status != "placed" {
		t.Errorf("after a restart: %+v", order)
	}
	again.client(0, "publish", "order/o-1", "pay", "--expected-version", "2")
	again.stop()
	if code := again.wait(); code != 0 {
		t.Fatalf("dev ended with %d\n%s", code, again.stderr)
	}

	file := filepath.Join(dir, "mine")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fresh := startDev(t, dir, "--reset")
	fresh.await("Ctrl-C stops")
	var list struct {
		Items []any `json:"items"`
	}
	if fresh.get("/v1/orders", &list); len(list.Items) != 0 {
		t.Errorf("after a reset: %v", list.Items)
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("a reset deleted what is not its own: %v", err)
	}
}

// awaitReadModels waits until the API sees what has been published so far.
func awaitReadModels(t *testing.T, d *running) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		var order struct {
			Version int `json:"version"`
		}
		var found struct {
			Total int `json:"total"`
		}
		var events struct {
			Items []any `json:"items"`
		}
		d.ask("/v1/orders/o-1", &order)
		d.ask("/v1/orders/search?q=gift", &found)
		d.ask("/v1/orders/o-1/events", &events)
		if order.Version == 2 && found.Total == 1 && len(events.Items) == 2 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the read models are not there: version %d, %d found, %d events", order.Version, found.Total, len(events.Items))
		}
	}
}

// Killed in the middle of an import and started again with it, dev has everything once.
func TestDevKilledWhileImporting(t *testing.T) {
	const n = 4000
	file := cdnowFile(t, n)
	dir := filepath.Join(t.TempDir(), "data")
	d := spawnDev(t, dir, "--import", file)
	d.await("Ctrl-C stops")
	for deadline := time.Now().Add(time.Minute); ; {
		var found struct {
			Total int `json:"total"`
		}
		if d.get("/v1/orders/search", &found); found.Total > n/20 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the import does not begin")
		}
	}
	d.kill()
	d.wait()
	if strings.Contains(d.stdout.String(), "import: ") {
		t.Log("the import was complete before the kill: nothing was in the middle")
	}

	d = spawnDev(t, dir, "--import", file)
	d.await("All read models are complete")
	if out := d.stdout.String(); !strings.Contains(out, fmt.Sprintf("import: %d purchases", n)) {
		t.Errorf("the second import says\n%s", out)
	}
	var sales struct {
		Total struct {
			Orders int `json:"orders"`
		} `json:"total"`
	}
	if d.get("/v1/sales/daily", &sales); sales.Total.Orders != n {
		t.Errorf("%d orders were sold, want %d", sales.Total.Orders, n)
	}
	out := d.client(0, "projection", "verify", "--json")
	var reports []struct {
		Projection string `json:"projection"`
		Events     int    `json:"events"`
		Compared   int    `json:"compared"`
	}
	if err := json.Unmarshal([]byte(out), &reports); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, r := range reports {
		if r.Projection == "orders" || r.Projection == "orders_search" || r.Projection == "history of order" {
			if seen++; r.Events != 2*n || r.Compared != n {
				t.Errorf("%+v, want %d events of %d orders", r, 2*n, n)
			}
		}
	}
	if seen != 3 {
		t.Errorf("reports: %s", out)
	}
	if out := d.client(0, "import", "cdnow", file); !strings.Contains(out, "all there already, nothing changed") {
		t.Errorf("a third import: %s", out)
	}
	d.stop()
	if code := d.wait(); code != 0 {
		t.Errorf("dev ended with %d\n%s", code, d.stderr)
	}
}

// A topic of dev's own Kafka is lost: dev starts all the same, says so, and goes on once that is accepted.
func TestDevAcceptsALoss(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	d := startDev(t, dir)
	d.await("Ctrl-C stops")
	const body = `{"customer":"ada","lines":[{"sku":"cd","name":"CD","quantity":1,"total":{"amount":"11.77","currency":"USD"}}],"notes":"a gift"}`
	d.client(0, "publish", "order/o-1", "place", body)
	d.client(0, "publish", "order/o-1", "annotate", `{"text":"a gift"}`)
	awaitReadModels(t, d)
	if out := d.client(0, "topology", "accept-loss"); !strings.Contains(out, "nothing was lost") {
		t.Errorf("accept-loss: %s", out)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(d.file().Kafka))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).DeleteTopics(t.Context(), "cqrsflow.order.events"); err != nil {
		t.Fatal(err)
	}
	d.stop()
	if code := d.wait(); code != 0 {
		t.Fatalf("dev ended with %d\n%s", code, d.stderr)
	}

	d = startDev(t, dir)
	until(t, "dev runs", func() bool { f, err := devfile.Find(dir); return err == nil && f != nil })
	readyz := func(part string) string {
		resp, err := http.Get(d.file().Ops + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var r ops.Readiness
		if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
			t.Fatal(err)
		}
		for _, p := range r.Parts {
			if p.Name == part {
				return p.Reason
			}
		}
		return ""
	}
	until(t, "the processor says so", func() bool {
		return strings.Contains(readyz("command"), "cqrsflow topology accept-loss --lost cqrsflow.order.events/")
	})
	until(t, "the projection says so", func() bool {
		return strings.Contains(readyz("project-sql/orders"), "then `cqrsflow projection rebuild orders`")
	})
	d.client(1, "topology", "verify")
	var lost []topology.Loss
	if out := d.client(0, "topology", "accept-loss", "--json"); json.Unmarshal([]byte(out), &lost) != nil || len(lost) != 1 || lost[0].Topic != "cqrsflow.order.events" {
		t.Errorf("accept-loss: %s", out)
	}
	until(t, "the processor serves", func() bool { return strings.HasSuffix(readyz("command"), " partitions") })
	if out := d.client(0, "publish", "order/o-1", "place", body); !strings.Contains(out, "version   1") {
		t.Errorf("publish: %s", out)
	}
	if why := readyz("project-sql/orders"); !strings.Contains(why, "cqrsflow projection rebuild orders") {
		t.Errorf("the projection says %q", why)
	}
	var order struct {
		Version int `json:"version"`
	}
	if d.get("/v1/orders/o-1", &order); order.Version != 2 {
		t.Errorf("the old row is gone: %+v", order)
	}
	d.client(0, "topology", "verify")
	if out := d.client(0, "rebuild", "--all"); strings.Count(out, "readers see version 2 now") != projections {
		t.Errorf("rebuild: %s", out)
	}
	if d.get("/v1/orders/o-1", &order); order.Version != 1 {
		t.Errorf("the row is that of before: %+v", order)
	}
	d.client(0, "projection", "verify", "orders", "orders_search", "daily_sales")
}

// until waits for what others do.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// What is wrong with the machine is said before anything has begun, with the setting to change.
func TestDevRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"HTTP port":  {[]string{"--http", taken.Addr().String()}, "--http"},
		"ops port":   {[]string{"--ops", taken.Addr().String()}, "--ops"},
		"Kafka port": {[]string{"--kafka", taken.Addr().String()}, "--kafka"},
		"no folder":  {[]string{"--data", filepath.Join(file, "data")}, "--data"},
		"no data":    {[]string{"--import", file}, "the file is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := cqrsflow(t, "", nil, append(devArgs(t.TempDir()), c.args...)...)
			if code != 1 || stdout != "" || !strings.Contains(stderr, c.want) {
				t.Errorf("%d\n%s%s\nwant %q", code, stdout, stderr, c.want)
			}
			if strings.Contains(name, "port") && !strings.Contains(stderr, taken.Addr().String()) {
				t.Errorf("the address is not named: %s", stderr)
			}
		})
	}
}
