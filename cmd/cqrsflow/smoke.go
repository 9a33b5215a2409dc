package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cqrsflow/cqrsflow/producer"
)

// smokeCmd goes once through everything: a command, its events, the row and the document that are made of them.
type smokeCmd struct {
	outputFlags
	Wait     time.Duration `default:"60s" help:"How long to wait at most for each read model."`
	Settings settings      `embed:""`
}

func newSmokeCmd() smokeCmd { return smokeCmd{Settings: newSettings("General", "Client")} }

// smokeCustomer is who the orders of smoke belong to, so that they can be told from others.
const smokeCustomer = "cqrsflow-smoke"

// smokeStep is something that worked.
type smokeStep struct {
	Step   string  `json:"step"`
	Found  string  `json:"found"`
	TookMs float64 `json:"tookMs"`
}

// smoke is one run on the API.
type smoke struct {
	api   client
	e     *environment
	order string
	// word stands in the name of what is ordered and nowhere else.
	word  string
	wait  time.Duration
	after string
	steps []smokeStep
}

func (c *smokeCmd) Run(e *environment) error {
	s, err := c.Settings.find(e, "smoke", "server")
	if err != nil {
		return err
	}
	if c.Wait < time.Second || c.Wait > time.Minute {
		return usageError{fmt.Errorf("--wait is %v; it must be from 1s to 1m", c.Wait)}
	}
	id := producer.NewCommandID()
	r := &smoke{api: client{base: s.Client.Server, setting: "server", token: s.Client.Token}, e: e, order: "smoke-" + id,
		word: "smoke" + strings.ReplaceAll(id, "-", ""), wait: c.Wait}
	for _, step := range []struct {
		name string
		do   func() (found string, err error)
	}{
		{"place an order", r.place},
		{"read it from SQL", func() (string, error) { return r.row("placed") }},
		{"find it by search", func() (string, error) { return r.document("placed") }},
		{"cancel it", r.cancel},
		{"see that in SQL", func() (string, error) { return r.row("cancelled") }},
		{"see that by search", func() (string, error) { return r.document("cancelled") }},
	} {
		began := time.Now()
		found, err := step.do()
		if err != nil {
			return fmt.Errorf("%s (order/%s): %w", step.name, r.order, err)
		}
		r.steps = append(r.steps, smokeStep{step.name, found, float64(time.Since(began).Microseconds()) / 1000})
	}
	return c.print(e, r.steps, func(w io.Writer) {
		for _, s := range r.steps {
			fmt.Fprintf(w, "%s\t%s\t%.0f ms\n", s.Step, s.Found, s.TookMs)
		}
	})
}

func (r *smoke) place() (string, error) {
	return r.command("place", map[string]any{"customer": smokeCustomer, "lines": []any{map[string]any{
		"sku": "smoke", "name": "Smoke test " + r.word, "quantity": 1, "total": map[string]string{"amount": "1.00", "currency": "USD"}}}})
}

func (r *smoke) cancel() (string, error) {
	return r.command("cancel", map[string]string{"reason": "a smoke test"})
}

// command publishes one and waits for both read models.
func (r *smoke) command(name string, body any) (string, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return "", err
	}
	header := http.Header{"Content-Type": {"application/json"}, "Cqrs-Wait-For": {"sql, search"},
		"Prefer": {fmt.Sprintf("wait=%d", int(r.wait.Seconds()))}}
	var answer struct {
		Outcome  string   `json:"outcome"`
		Position string   `json:"position"`
		Behind   []string `json:"behind"`
	}
	if err := r.api.send(r.e.ctx, http.MethodPost, "/v1/orders/"+r.order+"/"+name, nil, header, b, &answer); err != nil {
		return "", err
	}
	switch {
	case answer.Outcome != "accepted":
		return "", fmt.Errorf("there is no outcome after %v: see the role command", r.wait)
	case len(answer.Behind) > 0:
		return "", fmt.Errorf("accepted at %s, but %s has not applied it after %v: see the roles project-sql and project-search",
			answer.Position, strings.Join(answer.Behind, " and "), r.wait)
	}
	r.after = answer.Position
	return "accepted at " + answer.Position, nil
}

// smokeOrder is what is looked at of an order.
type smokeOrder struct {
	ID       string `json:"id"`
	Status   string `json:"status"`
	Customer string `json:"customer"`
}

func (r *smoke) query(path string, q url.Values, out any) error {
	return r.api.call(r.e.ctx, http.MethodGet, path, q, http.Header{"Cqrs-After": {r.after}}, out)
}

func (r *smoke) row(status string) (string, error) {
	var o smokeOrder
	if err := r.query("/v1/orders/"+r.order, nil, &o); err != nil {
		return "", err
	}
	return o.is(status)
}

func (r *smoke) document(status string) (string, error) {
	var page struct {
		Hits []struct {
			Order smokeOrder `json:"order"`
		} `json:"hits"`
	}
	if err := r.query("/v1/orders/search", url.Values{"q": {r.word}}, &page); err != nil {
		return "", err
	}
	if len(page.Hits) != 1 || page.Hits[0].Order.ID != r.order {
		return "", fmt.Errorf("the word %s finds %d orders; it should find this one", r.word, len(page.Hits))
	}
	return page.Hits[0].Order.is(status)
}

func (o smokeOrder) is(status string) (string, error) {
	if o.Status != status || o.Customer != smokeCustomer {
		return "", errors.New("it is " + o.Status + " for " + o.Customer + "; it should be " + status + " for " + smokeCustomer)
	}
	return status, nil
}
