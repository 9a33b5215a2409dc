package kafka

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
)

// kfake's pids.log and groups.log are sequences of framed JSON entries, little-endian:
//
//	4 bytes  length of what follows the checksum
//	4 bytes  CRC-32C of what follows it
//	2 bytes  format version, 1
//	n bytes  JSON
//
// Loading stops at the first bad frame, but new entries are appended behind it: unless the bad tail is cut
// off, everything written after one crash is lost at the next.
const (
	frameHeader   = 8
	formatVersion = 1
)

var crc32c = crc32.MakeTable(crc32.Castagnoli)

// nextEntry returns the first entry of raw and its framed size; ok is false when it is cut short or bad.
func nextEntry(raw []byte) (data []byte, size int, ok bool) {
	if len(raw) < frameHeader+2 {
		return nil, 0, false
	}
	length := int64(binary.LittleEndian.Uint32(raw))
	if length < 2 || length > int64(len(raw)-frameHeader) {
		return nil, 0, false
	}
	body := raw[frameHeader : frameHeader+length]
	if crc32.Checksum(body, crc32c) != binary.LittleEndian.Uint32(raw[4:]) || binary.LittleEndian.Uint16(body) != formatVersion {
		return nil, 0, false
	}
	return body[2:], frameHeader + int(length), true
}

// appendEntry appends v's frame to dst.
func appendEntry(dst []byte, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	body := binary.LittleEndian.AppendUint16(nil, formatVersion)
	body = append(body, data...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(body)))
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(body, crc32c))
	return append(dst, body...), nil
}

// pidEntry is a line of pids.log: what happened to a producer ID.
type pidEntry struct {
	Type    string `json:"type"` // init, endtx, timeout
	PID     int64  `json:"pid"`
	Epoch   int16  `json:"epoch"`
	TxID    string `json:"txid,omitempty"`
	Timeout int32  `json:"timeout,omitempty"` // milliseconds
	Commit  *bool  `json:"commit,omitempty"`
}

// commitEntry is a line of groups.log of type "commit": an offset that a group committed.
type commitEntry struct {
	Type        string  `json:"type"`
	Group       string  `json:"g"`
	Topic       string  `json:"t,omitempty"`
	Partition   int32   `json:"p,omitempty"`
	Offset      int64   `json:"o,omitempty"`
	LeaderEpoch int32   `json:"e,omitempty"`
	Metadata    *string `json:"m,omitempty"`
	LastCommit  *int64  `json:"lc,omitempty"` // Unix milliseconds
}

// producer is what pids.log says about a producer ID.
type producer struct {
	pidEntry      // the latest init, with the latest epoch
	ended    bool // the transaction of that epoch was completed, the epoch not bumped yet
}

// readProducers returns the state of each producer ID, and the length of the readable part of the log.
func readProducers(raw []byte) (map[int64]*producer, int, error) {
	producers := make(map[int64]*producer)
	pos := 0
	for {
		data, size, ok := nextEntry(raw[pos:])
		if !ok {
			return producers, pos, nil
		}
		pos += size
		var e pidEntry
		if err := json.Unmarshal(data, &e); err != nil {
			return nil, 0, fmt.Errorf("pids.log at %d: %w", pos-size, err)
		}
		switch p := producers[e.PID]; {
		case e.Type == "init":
			producers[e.PID] = &producer{pidEntry: e}
		case p == nil: // forgotten since
		default:
			p.Epoch, p.ended = e.Epoch, e.Type == "endtx"
		}
	}
}

// fence returns the entry that gives p the next epoch, so that a client that outlived the broker cannot go
// on with a transaction of which the broker remembers nothing. It is nil where there is nothing to fence:
// producers that are only idempotent, and the last epoch, for which kfake replaces the producer ID itself.
func (p *producer) fence() *pidEntry {
	if p.TxID == "" || p.Epoch >= math.MaxInt16-1 {
		return nil
	}
	e := p.pidEntry
	e.Type, e.Epoch = "init", p.Epoch+1
	return &e
}

// readLog reads a log of entries; a missing one is empty.
func readLog(path string) ([]byte, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return raw, err
}

// extendLog cuts the log at path down to its valid bytes and appends frames to it.
func extendLog(path string, valid int, frames []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(int64(valid)); err != nil {
		return err
	}
	_, err = f.WriteAt(frames, int64(valid))
	return err
}
