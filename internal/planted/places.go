package planted

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Records are keys, values and headers of every record of the topics that are wanted, those of aborted transactions included, up to
// the topics' ends as they are now.
func Records(ctx context.Context, kafka []kgo.Opt, wanted func(topic string) bool) ([]byte, error) {
	client, err := kgo.NewClient(kafka...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	topics, err := admin.ListTopics(ctx)
	if err != nil {
		return nil, err
	}
	left := map[string]map[int32]int64{}
	at := map[string]map[int32]kgo.Offset{}
	for _, topic := range topics.Names() {
		if !wanted(topic) {
			continue
		}
		starts, err := admin.ListStartOffsets(ctx, topic)
		if err == nil {
			err = starts.Error()
		}
		if err != nil {
			return nil, err
		}
		ends, err := admin.ListEndOffsets(ctx, topic)
		if err == nil {
			err = ends.Error()
		}
		if err != nil {
			return nil, err
		}
		ends.Each(func(o kadm.ListedOffset) {
			if first, _ := starts.Lookup(topic, o.Partition); o.Offset <= first.Offset {
				return
			}
			if left[topic] == nil {
				left[topic], at[topic] = map[int32]int64{}, map[int32]kgo.Offset{}
			}
			left[topic][o.Partition], at[topic][o.Partition] = o.Offset, kgo.NewOffset().AtStart()
		})
	}
	if len(left) == 0 {
		return nil, nil
	}
	reader, err := kgo.NewClient(append(kafka[:len(kafka):len(kafka)], kgo.ConsumePartitions(at), kgo.FetchIsolationLevel(kgo.ReadUncommitted()), kgo.KeepControlRecords())...)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	var out bytes.Buffer
	for len(left) > 0 {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			out.Write(r.Key)
			out.WriteByte('\n')
			out.Write(r.Value)
			for _, h := range r.Headers {
				out.WriteString("\n" + h.Key + ": ")
				out.Write(h.Value)
			}
			out.WriteByte('\n')
			if r.Offset+1 >= left[r.Topic][r.Partition] {
				delete(left[r.Topic], r.Partition)
				if len(left[r.Topic]) == 0 {
					delete(left, r.Topic)
				}
			}
		})
	}
	return out.Bytes(), nil
}

// Stores are the files of the local stores below the folders, and, as these are compressed, what is in them. No processor may run on
// them.
func Stores(dirs ...string) (files, entries []byte, err error) {
	opened := 0
	for _, root := range dirs {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if !d.IsDir() {
				data, err := os.ReadFile(path)
				files = append(files, data...)
				return err
			}
			if found, _ := filepath.Glob(filepath.Join(path, "MANIFEST-*")); len(found) == 0 {
				return nil
			}
			opened++
			inside, err := entriesOf(path)
			entries = append(entries, inside...)
			return err
		})
		if err != nil {
			return nil, nil, err
		}
	}
	if opened == 0 {
		return nil, nil, fmt.Errorf("there are no local stores in %v", dirs)
	}
	return files, entries, nil
}

// entriesOf are the keys and values of a store.
func entriesOf(path string) (entries []byte, err error) {
	db, err := pebble.Open(path, &pebble.Options{ReadOnly: true, Logger: quiet{}})
	if err != nil {
		return nil, err
	}
	it, err := db.NewIter(nil)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	for it.First(); it.Valid(); it.Next() {
		entries = append(append(append(append(entries, it.Key()...), '\n'), it.Value()...), '\n')
	}
	return entries, errors.Join(it.Close(), db.Close())
}

// quiet is a pebble.Logger of which only what ends the test is heard.
type quiet struct{}

func (quiet) Infof(string, ...any)           {}
func (quiet) Errorf(string, ...any)          {}
func (quiet) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }

// Querier is a connection to PostgreSQL, or a pool of them.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Rows are all rows of all tables, as text.
func Rows(ctx context.Context, sql Querier) ([]byte, error) {
	texts := func(query string) ([]string, error) {
		rows, err := sql.Query(ctx, query)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, pgx.RowTo[string])
	}
	tables, err := texts(`SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
		WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')`)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for _, table := range tables {
		rows, err := texts("SELECT t::text FROM " + table + " t")
		if err != nil {
			return nil, err
		}
		out.WriteString(table + "\n" + strings.Join(rows, "\n") + "\n")
	}
	return out.Bytes(), nil
}
