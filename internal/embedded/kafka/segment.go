package kafka

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A partition directory of kfake holds segments: <first offset>.dat is record batches in Kafka's wire
// format, one after the other; <first offset>.idx has 15 bytes a batch:
//
//	1 byte   format version, 1
//	1 byte   low byte of the CRC-32C of the rest
//	4 bytes  leader epoch, little-endian
//	8 bytes  largest timestamp up to this batch, little-endian
//	1 byte   1 for a transactional data batch, else 0
//
// The two files are written one after the other, and lines are matched by number alone.
const (
	batchHeader = 61
	indexLine   = 15

	attrTransactional = 0x10
	attrControl       = 0x20
)

// batch is the header of a record batch.
type batch struct {
	first, last int64 // offsets
	leaderEpoch int32
	attributes  int16
	maxTime     int64 // Unix milliseconds
	producerID  int64
	epoch       int16
}

func (b batch) control() bool       { return b.attributes&attrControl != 0 }
func (b batch) transactional() bool { return b.attributes&attrTransactional != 0 }

// partition is what the segments of one partition hold, as far as recovery has to know it.
type partition struct {
	dir         string
	segments    []int64 // first offsets, which are the file names, in order
	next        int64   // the offset that the next batch gets
	leaderEpoch int32
	maxTime     int64
	open        map[int64]int16 // transactions without an end: producer ID → epoch
	repaired    []string        // what was mended while reading
}

// readPartition reads all segments, cuts off what the end of the process cut short, and makes the index
// agree with the data.
func readPartition(dir string) (*partition, error) {
	p := &partition{dir: dir, open: make(map[int64]int16)}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name, isSegment := strings.CutSuffix(e.Name(), ".dat")
		if first, err := strconv.ParseInt(name, 10, 64); isSegment && err == nil {
			p.segments = append(p.segments, first)
		}
	}
	slices.SortFunc(p.segments, cmp.Compare[int64])
	for _, first := range p.segments {
		if err := p.readSegment(first); err != nil {
			return nil, fmt.Errorf("segment %d: %w", first, err)
		}
	}
	return p, nil
}

func (p *partition) path(first int64, ext string) string {
	return filepath.Join(p.dir, strconv.FormatInt(first, 10)+ext)
}

func (p *partition) readSegment(first int64) error {
	f, err := os.OpenFile(p.path(first, ".dat"), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()

	var index []byte
	var valid int64
	for r := bufio.NewReaderSize(f, 1<<20); ; {
		b, size, err := readBatch(r)
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, errBadBatch) {
			p.repaired = append(p.repaired, fmt.Sprintf("cut segment %d at byte %d", first, valid))
			if err := f.Truncate(valid); err != nil {
				return err
			}
			break
		}
		if err != nil {
			return err
		}
		valid += size
		p.note(b)
		index = appendIndexLine(index, b, p.maxTime)
	}
	return p.checkIndex(first, index)
}

// note keeps the partition's state up to date with the next batch.
func (p *partition) note(b batch) {
	p.next, p.leaderEpoch, p.maxTime = b.last+1, b.leaderEpoch, max(p.maxTime, b.maxTime)
	switch {
	case b.control():
		delete(p.open, b.producerID)
	case b.transactional():
		p.open[b.producerID] = b.epoch
	}
}

// checkIndex replaces an index that does not fit its data. kfake tells transactional batches from the
// index alone: a batch without a line, or lines that have slipped by one, would make records of an open
// transaction readable.
func (p *partition) checkIndex(first int64, want []byte) error {
	path := p.path(first, ".idx")
	have, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if sameIndex(have, want) {
		return nil
	}
	p.repaired = append(p.repaired, fmt.Sprintf("rewrote the index of segment %d", first))
	return writeFile(path, want)
}

// sameIndex compares all but the timestamps, which kfake does not read back, and their checksum.
func sameIndex(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i += indexLine {
		if a[i] != b[i] || string(a[i+2:i+6]) != string(b[i+2:i+6]) || a[i+14] != b[i+14] {
			return false
		}
	}
	return true
}

// end appends the marker that ends producer pid's open transaction.
func (p *partition) end(pid int64, commit bool) error {
	epoch, ok := p.open[pid]
	if !ok {
		return nil
	}
	raw := markerBatch(p.next, p.leaderEpoch, pid, epoch, commit)
	b := parseBatch(raw)
	p.note(b)
	last := p.segments[len(p.segments)-1]
	if err := appendFile(p.path(last, ".dat"), raw); err != nil {
		return err
	}
	return appendFile(p.path(last, ".idx"), appendIndexLine(nil, b, p.maxTime))
}

// errBadBatch is the end of the readable part of a segment, anywhere but at its end.
var errBadBatch = errors.New("bad batch")

// readBatch reads one batch and checks it. The error is io.EOF at the end, and errBadBatch for a batch
// that is cut short or corrupt.
func readBatch(r *bufio.Reader) (batch, int64, error) {
	head, err := r.Peek(batchHeader)
	if len(head) == 0 && errors.Is(err, io.EOF) {
		return batch{}, 0, io.EOF
	}
	if errors.Is(err, io.EOF) {
		return batch{}, 0, errBadBatch
	}
	if err != nil {
		return batch{}, 0, err
	}
	b := parseBatch(head)
	want := binary.BigEndian.Uint32(head[17:])
	size := 12 + int64(int32(binary.BigEndian.Uint32(head[8:])))
	if size < batchHeader || head[16] != 2 {
		return batch{}, 0, errBadBatch
	}
	if _, err := r.Discard(21); err != nil {
		return batch{}, 0, err
	}
	sum := uint32(0)
	for rest := size - 21; rest > 0; {
		chunk, err := r.Peek(int(min(rest, int64(r.Size()))))
		if errors.Is(err, io.EOF) {
			return batch{}, 0, errBadBatch
		}
		if err != nil {
			return batch{}, 0, err
		}
		sum = crc32.Update(sum, crc32c, chunk)
		rest -= int64(len(chunk))
		_, _ = r.Discard(len(chunk)) // cannot fail: it was peeked
	}
	if sum != want {
		return batch{}, 0, errBadBatch
	}
	return b, size, nil
}

func parseBatch(head []byte) batch {
	be := binary.BigEndian
	first := int64(be.Uint64(head))
	return batch{
		first:       first,
		last:        first + int64(int32(be.Uint32(head[23:]))),
		leaderEpoch: int32(be.Uint32(head[12:])),
		attributes:  int16(be.Uint16(head[21:])),
		maxTime:     int64(be.Uint64(head[35:])),
		producerID:  int64(be.Uint64(head[43:])),
		epoch:       int16(be.Uint16(head[51:])),
	}
}

func appendIndexLine(dst []byte, b batch, maxTime int64) []byte {
	var line [indexLine]byte
	line[0] = formatVersion
	binary.LittleEndian.PutUint32(line[2:], uint32(b.leaderEpoch))
	binary.LittleEndian.PutUint64(line[6:], uint64(maxTime))
	if b.transactional() && !b.control() {
		line[14] = 1
	}
	line[1] = byte(crc32.Checksum(line[2:], crc32c))
	return append(dst, line[:]...)
}

// markerBatch is the control batch that ends a transaction (KIP-98).
func markerBatch(offset int64, leaderEpoch int32, pid int64, epoch int16, commit bool) []byte {
	key := kmsg.ControlRecordKey{Type: kmsg.ControlRecordKeyTypeAbort}
	if commit {
		key.Type = kmsg.ControlRecordKeyTypeCommit
	}
	rec := kmsg.Record{Key: key.AppendTo(nil), Value: (&kmsg.EndTxnMarker{}).AppendTo(nil)}
	rec.Length = int32(len(rec.AppendTo(nil)) - 1) // the length itself is one byte, a varint below 64
	now := time.Now().UnixMilli()
	b := kmsg.RecordBatch{
		FirstOffset:          offset,
		PartitionLeaderEpoch: leaderEpoch,
		Magic:                2,
		Attributes:           attrTransactional | attrControl,
		FirstTimestamp:       now,
		MaxTimestamp:         now,
		ProducerID:           pid,
		ProducerEpoch:        epoch,
		FirstSequence:        -1,
		NumRecords:           1,
		Records:              rec.AppendTo(nil),
	}
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32c))
	return raw
}

func appendFile(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// writeFile replaces the file at path as a whole.
func writeFile(path string, data []byte) error {
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
