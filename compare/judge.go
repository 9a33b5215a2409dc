package compare

import (
	"time"

	"github.com/cqrsflow/cqrsflow/event"
)

// flush has both versions decide the batch, and adds up what comes of it.
func (r *replay) flush() error {
	if len(r.batch) == 0 {
		return nil
	}
	tasks := r.batch
	a := r.subjects[control].judge(tasks, r.cfg.Budget)
	var b []verdict
	if !r.subjects[candidate].out.Load() {
		b = r.subjects[candidate].judge(tasks[:len(a)], r.cfg.Budget)
	}
	for i := range tasks {
		t := &tasks[i]
		t.entry.busy = false
		va, vb := &stuck, &stuck
		if i < len(a) {
			va = &a[i]
			r.check(t, va)
		}
		if i < len(b) {
			vb = &b[i]
		}
		switch {
		case i < len(b):
			r.compare(t, va, vb)
		case i == len(a) && r.subjects[control].left.Load():
			r.leftBehind(t, control, va, vb)
		case i == len(b) && r.subjects[candidate].left.Load() && i < len(a):
			r.leftBehind(t, candidate, va, vb)
		default:
			r.tally.uncompared++
		}
	}
	r.samples.offer(tasks[:len(b)])
	if len(b) < len(tasks) {
		r.batch = nil // one who was left behind may still look at it
	} else {
		clear(tasks)
		r.batch = tasks[:0]
	}
	return nil
}

// leftBehind counts the decision that did not end.
func (r *replay) leftBehind(t *task, which int, a, b *verdict) {
	r.tally.versions[which].stuck++
	example := r.example(t, a, b)
	r.tally.versions[which].stuckAt = &example
	r.tally.commands++
	r.tally.differ++
	r.tally.differences.add(group{KindStuck, t.command[control].Type, inShort(a), inShort(b)}, r.cfg.Examples, func() Example { return example })
}

// check holds the control's decision against the one that was made live, where the same variant made it.
func (r *replay) check(t *task, v *verdict) {
	served := r.served
	if a, ok := event.ParseAssignment(t.variant); ok {
		served = a.Variant
	}
	if served != r.cfg.Control {
		return
	}
	r.tally.checked++
	if v.same(&t.past) {
		return
	}
	past := r.upcast(t)
	if v.same(&past) {
		return
	}
	r.tally.strayed++
	if len(r.tally.strays) < r.cfg.Examples {
		r.tally.strays = append(r.tally.strays, r.example(t, &past, v))
	}
}

// upcast is what was decided then as it would be written today: events of old types in their current ones.
func (r *replay) upcast(t *task) (v verdict) {
	v = t.past
	v.events, v.bodies = nil, nil
	defer func() { _ = recover() }() // what cannot be read is shown as far as it could be
	for _, w := range t.past.events {
		env := event.Envelope{Aggregate: r.cfg.Type.Name, Stream: t.entry.stream, Type: w.typ, ContentType: w.content, Data: w.data, Time: t.command[control].Time}
		body, err := r.cfg.Type.Codec.DecodeEvent(&env)
		if err != nil {
			return t.past
		}
		if w.typ, w.content, w.data, err = r.cfg.Type.Codec.EncodeEvent(nil, body); err != nil {
			return t.past
		}
		v.events, v.bodies = append(v.events, w), append(v.bodies, body)
	}
	return v
}

// compare adds a pair of verdicts to the tally.
func (r *replay) compare(t *task, a, b *verdict) {
	r.tally.commands++
	same := a.same(b)
	if same {
		r.tally.agree++
	} else {
		r.tally.differ++
		r.tally.differences.add(group{kindOf(a, b), t.command[control].Type, inShort(a), inShort(b)}, r.cfg.Examples,
			func() Example { return r.example(t, a, b) })
	}
	for i, v := range []*verdict{a, b} {
		n := &r.tally.versions[i]
		if v.rejected {
			n.rejected++
		} else {
			n.accepted++
		}
		r.noted(&n.panics, &n.panic, v.panicked != "", t, a, b)
		r.noted(&n.unstable, &n.unstableAt, v.unstable, t, a, b)
	}
	r.measure(t, a, b)
	if r.cfg.Diverge {
		r.move(t, same, a, b)
	}
}

// noted counts something and keeps its first example.
func (r *replay) noted(n *int64, first **Example, is bool, t *task, a, b *verdict) {
	if !is {
		return
	}
	if *n++; *first == nil {
		example := r.example(t, a, b)
		*first = &example
	}
}

// measure adds what both decisions mean in numbers.
func (r *replay) measure(t *task, a, b *verdict) {
	e := t.entry
	if e.sums == nil {
		e.sums = make([]sums, len(r.cfg.Metrics))
		r.tally.streams++
	}
	for i, m := range r.cfg.Metrics {
		to := e.sums[i]
		for which, v := range []*verdict{a, b} {
			value, units := m.Of(&Decision{Command: &t.command[which], Body: t.body, Rejected: v.rejected, Code: v.code, Events: v.bodies})
			to[2*which] += value
			to[2*which+1] += units
		}
		if !m.Rate { // by stream
			to[1], to[3] = 1, 1
		}
		if to != e.sums[i] {
			move(&r.tally.metrics[i], &e.sums[i], &to)
			e.sums[i] = to
		}
	}
}

// move lets each version go on from where its decision has led.
func (r *replay) move(t *task, same bool, a, b *verdict) {
	e := t.entry
	if !same && !e.split {
		e.split, e.snaps[1] = true, e.snaps[0]
	}
	for i, v := range []*verdict{a, b} {
		if v.rejected || i == 1 && !e.split {
			continue
		}
		e.snaps[i] = v.after
		for _, w := range v.events {
			r.states.grow(e, len(w.data))
		}
	}
}

func (r *replay) example(t *task, a, b *verdict) Example {
	c := &t.command[control]
	return Example{Stream: c.Stream, Version: c.Version, CommandID: c.ID, Partition: r.partition, Offset: t.offset,
		Time: c.RecordedTime.Format(time.RFC3339Nano), Command: asJSON(r.cfg.Type.Codec, t.body),
		Control: said(r.cfg.Type.Codec, a), Candidate: said(r.cfg.Type.Codec, b)}
}
