package validate

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	cqrsflowv1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/v1"
	"github.com/cqrsflow/cqrsflow/topology"
)

// maxProblems is how many problems a check reports.
const maxProblems = 20

// problems collects what is wrong.
type problems struct {
	list []error
	more int
}

func (p *problems) add(format string, args ...any) {
	if len(p.list) == maxProblems {
		p.more++
		return
	}
	p.list = append(p.list, fmt.Errorf(format, args...))
}

func (p *problems) join() error {
	if p.more > 0 {
		p.list = append(p.list, fmt.Errorf("… and %d more", p.more))
	}
	return errors.Join(p.list...)
}

type commandAt struct {
	aggregate string
	partition int32
	offset    int64
}

type streamOf struct{ aggregate, id string }

type commandOf struct {
	streamOf
	commandID string
}

// Check holds the rules of the log: every command has exactly one outcome; the versions of a stream have no gap and
// no duplicate; a command's events are together, its last one is marked, its ID has events once; accepted commands
// have the events that their outcome names, others none; recorded times never go back within a stream; everything
// of a stream is on its partition. Its error lists what is not so.
func (l *Log) Check() error {
	p := &problems{}
	commands := map[commandAt]*Record{}
	for i := range l.Commands {
		c := &l.Commands[i]
		commands[commandAt{c.Aggregate, c.Partition, c.Offset}] = c
	}
	events := l.checkEvents(p, commands)
	l.checkOutcomes(p, commands, events)
	return p.join()
}

// checkEvents returns the events of each command.
func (l *Log) checkEvents(p *problems, commands map[commandAt]*Record) map[commandAt][]*Record {
	versions := map[streamOf]int64{}
	recorded := map[streamOf]time.Time{}
	by := map[commandAt][]*Record{}
	cause := map[commandOf]commandAt{}
	last := map[string]commandAt{} // by partition
	for i := range l.Events {
		e := &l.Events[i]
		if !e.Transactional {
			p.add("%s: the event is not transactional", e)
			continue
		}
		stream := streamOf{e.Aggregate, e.Key}
		version, err := e.number("ce_streamversion")
		if err != nil {
			p.add("%w", err)
			continue
		}
		if version != versions[stream]+1 {
			p.add("%s: version %d follows %d", e, version, versions[stream])
		}
		versions[stream] = version
		if want := fmt.Sprintf("%s/%d", e.Key, version); e.Headers["ce_id"] != want {
			p.add("%s: its ID is %q, not %q", e, e.Headers["ce_id"], want)
		}
		if want := topology.PartitionOf(e.Key, l.partitions); e.Partition != want {
			p.add("%s: it belongs on partition %d", e, want)
		}
		at, err := time.Parse(time.RFC3339Nano, e.Headers["ce_recordedtime"])
		if err != nil || at.Before(recorded[stream]) {
			p.add("%s: recorded at %q, after %v", e, e.Headers["ce_recordedtime"], recorded[stream])
		}
		recorded[stream] = at
		offset, err := e.number("ce_commandoffset")
		if err != nil {
			p.add("%w", err)
			continue
		}
		command := commandAt{e.Aggregate, e.Partition, offset}
		c := commands[command]
		if c == nil || c.Key != e.Key {
			p.add("%s: there is no command of its stream at offset %d", e, offset)
			continue
		}
		if id := commandID(c); e.Headers["ce_causationid"] != id {
			p.add("%s: caused by %q, but the command at offset %d is %q", e, e.Headers["ce_causationid"], offset, id)
		}
		byID := commandOf{stream, commandID(c)}
		if earlier, ok := cause[byID]; ok && earlier != command {
			p.add("%s: command %q has events of both offset %d and %d", e, byID.commandID, earlier.offset, offset)
		}
		cause[byID] = command
		partition := fmt.Sprintf("%s/%d", e.Aggregate, e.Partition)
		if before, ok := last[partition]; ok && (before.offset > command.offset || before.offset == command.offset && ended(by[before])) {
			p.add("%s: an event of command %d after those of command %d", e, command.offset, before.offset)
		} else if ok && before != command && !ended(by[before]) {
			p.add("%s: the command before it, %d, has no last event", e, before.offset)
		}
		last[partition] = command
		by[command] = append(by[command], e)
	}
	for partition, command := range last {
		if !ended(by[command]) {
			p.add("%s: the last command, %d, has no last event", partition, command.offset)
		}
	}
	return by
}

func ended(events []*Record) bool {
	return events[len(events)-1].Headers["ce_lastofcommand"] == "1"
}

func commandID(c *Record) string {
	if id := c.Headers["ce_id"]; id != "" {
		return id
	}
	return fmt.Sprintf("%d-%d", c.Partition, c.Offset)
}

func (l *Log) checkOutcomes(p *problems, commands map[commandAt]*Record, events map[commandAt][]*Record) {
	seen := map[commandAt]bool{}
	for i := range l.Outcomes {
		o := &l.Outcomes[i]
		offset, err := o.number("ce_commandoffset")
		if err != nil {
			p.add("%w", err)
			continue
		}
		at := commandAt{o.Aggregate, o.Partition, offset}
		c := commands[at]
		switch {
		case !o.Transactional:
			p.add("%s: the outcome is not transactional", o)
		case seen[at]:
			p.add("%s: a second outcome of command %d", o, offset)
		case c == nil || c.Key != o.Key || commandID(c) != o.Headers["ce_causationid"]:
			p.add("%s: an outcome of command %d, %q, which is not there", o, offset, o.Headers["ce_causationid"])
		}
		seen[at] = true
		var m cqrsflowv1.Outcome
		if err := proto.Unmarshal(o.Value, &m); err != nil {
			p.add("%s: %w", o, err)
			continue
		}
		appended := events[at]
		switch {
		case m.Kind == cqrsflowv1.Outcome_KIND_UNSPECIFIED:
			p.add("%s: an outcome of no kind", o)
		case m.Kind != cqrsflowv1.Outcome_KIND_ACCEPTED || m.Replayed:
			if len(appended) > 0 {
				p.add("%s: the command was %v (replayed: %v) and has events", o, m.Kind, m.Replayed)
			}
			continue
		case len(appended) != len(m.Events):
			p.add("%s: the outcome names %d events, the log has %d", o, len(m.Events), len(appended))
			continue
		}
		for i, e := range m.Events {
			if got := fmt.Sprintf("%s/%d", o.Key, e.Sequence); appended[i].Headers["ce_id"] != got || appended[i].Headers["ce_type"] != e.Type {
				p.add("%s: the outcome names %s %s, the log has %s %s", o, e.Type, got, appended[i].Headers["ce_type"], appended[i].Headers["ce_id"])
			}
		}
	}
	for at, c := range commands {
		if !seen[at] {
			p.add("%s: the command %q has no outcome", c, commandID(c))
		}
	}
}
