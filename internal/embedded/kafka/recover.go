package kafka

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// recoverDir makes a data directory whose broker did not close as a broker that finished its last commit,
// aborted all other transactions and fenced their producers would have left it. It does nothing after a
// Close. Cut short, it can be repeated.
//
// The last commit is the one in the journal, unless pids.log says that it was completed.
func recoverDir(dataDir string, log *slog.Logger) error {
	dir := filepath.Join(dataDir, brokerDir)
	var meta struct {
		Version int `json:"version"`
	}
	raw, err := os.ReadFile(filepath.Join(dir, "meta.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil // never served
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &meta); err != nil {
		return fmt.Errorf("meta.json: %w", err)
	}
	if meta.Version != formatVersion {
		return fmt.Errorf("the broker's format is version %d, known is %d", meta.Version, formatVersion)
	}
	if _, err := os.Stat(filepath.Join(dataDir, cleanName)); err == nil {
		return nil
	}

	start := time.Now()
	r, err := openRecovery(dataDir, dir)
	if err != nil {
		return err
	}
	if err := r.partitions(log); err != nil {
		return err
	}
	if err := r.stateLogs(); err != nil {
		return err
	}
	// Both describe a moment before the crash: group members that are gone, sequence numbers that are stale.
	for _, name := range []string{"session_state.json", "seq_windows.json"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	log.Info("the broker was not closed last time: recovered its data", "dir", dir, "took", time.Since(start).Round(time.Millisecond),
		"partitions", r.count, "finished_commits", r.committed, "aborted", r.aborted)
	return nil
}

// recovery is one pass over the broker's files.
type recovery struct {
	dir       string
	producers map[int64]*producer
	pidsValid int     // readable bytes of pids.log
	unfinish  *intent // the commit to finish, if any

	count, committed, aborted int // for the log: partitions, and markers written
}

func openRecovery(dataDir, dir string) (*recovery, error) {
	r := &recovery{dir: dir}
	raw, err := readLog(filepath.Join(dir, "pids.log"))
	if err != nil {
		return nil, err
	}
	if r.producers, r.pidsValid, err = readProducers(raw); err != nil {
		return nil, err
	}
	in, err := readIntent(filepath.Join(dataDir, journalName))
	if err != nil {
		return nil, err
	}
	// Completing a commit ends with a line in pids.log, and after that the epoch goes up. (A commit that the
	// broker refused has another epoch, or no open records: finishing it changes nothing.)
	if in != nil {
		if p := r.producers[in.ProducerID]; p != nil && p.Epoch == in.Epoch && !p.ended {
			r.unfinish = in
		}
	}
	return r, nil
}

// partitions ends every open transaction in every partition.
func (r *recovery) partitions(log *slog.Logger) error {
	dirs, err := os.ReadDir(filepath.Join(r.dir, "partitions"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if !d.IsDir() {
			continue
		}
		p, err := readPartition(filepath.Join(r.dir, "partitions", d.Name()))
		if err != nil {
			return fmt.Errorf("partition %s: %w", d.Name(), err)
		}
		r.count++
		for _, what := range p.repaired {
			log.Warn("mended a partition", "partition", d.Name(), "what", what)
		}
		for pid, epoch := range p.open {
			commit := r.unfinish != nil && r.unfinish.ProducerID == pid && r.unfinish.Epoch == epoch
			if err := p.end(pid, commit); err != nil {
				return fmt.Errorf("partition %s: end transaction: %w", d.Name(), err)
			}
			if commit {
				r.committed++
			} else {
				r.aborted++
			}
		}
	}
	return nil
}

// stateLogs finishes the commit's offsets, then its producer, and fences all producers. pids.log comes last
// because it is what says that a commit is complete.
func (r *recovery) stateLogs() error {
	var offsets, pids []byte
	var err error
	if r.unfinish != nil {
		now := time.Now().UnixMilli()
		for _, o := range r.unfinish.Offsets {
			offsets, err = appendEntry(offsets, commitEntry{
				Type: "commit", Group: o.Group, Topic: o.Topic, Partition: o.Partition, Offset: o.Offset,
				LeaderEpoch: o.LeaderEpoch, Metadata: o.Metadata, LastCommit: &now,
			})
			if err != nil {
				return err
			}
		}
		commit := true
		pids, err = appendEntry(pids, pidEntry{Type: "endtx", PID: r.unfinish.ProducerID, Epoch: r.unfinish.Epoch, Commit: &commit})
		if err != nil {
			return err
		}
	}
	for _, p := range r.producers {
		if e := p.fence(); e != nil {
			if pids, err = appendEntry(pids, e); err != nil {
				return err
			}
		}
	}

	groupsPath := filepath.Join(r.dir, "groups.log")
	raw, err := readLog(groupsPath)
	if err != nil {
		return err
	}
	valid := 0
	for _, size, ok := nextEntry(raw); ok; _, size, ok = nextEntry(raw[valid:]) {
		valid += size
	}
	if err := extendLog(groupsPath, valid, offsets); err != nil {
		return fmt.Errorf("groups.log: %w", err)
	}
	if err := extendLog(filepath.Join(r.dir, "pids.log"), r.pidsValid, pids); err != nil {
		return fmt.Errorf("pids.log: %w", err)
	}
	return nil
}
