package event

import "fmt"

// MaxStreamID is the longest stream ID in bytes.
const MaxStreamID = 128

// StreamID names the stream of one aggregate instance. It is the record key on every topic of the
// aggregate type, so it decides the partition. 1 to 128 bytes of [A-Za-z0-9._:-].
type StreamID string

// ParseStreamID checks s. Its error wraps ErrInvalid and says what is wrong with which byte.
func ParseStreamID(s string) (StreamID, error) {
	if err := CheckStreamID(s); err != nil {
		return "", err
	}
	return StreamID(s), nil
}

// CheckStreamID reports why s, a string or the bytes of a key, is no stream ID; nil where it is one.
func CheckStreamID[T ~string | ~[]byte](s T) error {
	if len(s) == 0 {
		return fmt.Errorf("%w: the stream ID is empty; it needs 1 to %d characters", ErrInvalid, MaxStreamID)
	}
	if len(s) > MaxStreamID {
		return fmt.Errorf("%w: the stream ID has %d bytes; at most %d are allowed", ErrInvalid, len(s), MaxStreamID)
	}
	for i := 0; i < len(s); i++ {
		if !isStreamByte(s[i]) {
			return fmt.Errorf("%w: the stream ID %q has a character at byte %d that is not one of A-Z a-z 0-9 . _ : -", ErrInvalid, string(s), i)
		}
	}
	return nil
}

func isStreamByte(b byte) bool {
	switch {
	case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9':
		return true
	}
	return b == '.' || b == '_' || b == ':' || b == '-'
}

// Version counts the events of a stream; 0 means that the aggregate does not exist.
type Version int64

// AnyVersion, as an expected version, expects nothing.
const AnyVersion Version = -1
