package password

import "golang.org/x/text/unicode/norm"

// normalise makes one byte sequence of what a person cannot tell apart: an é that one keyboard sends as a letter and another
// as e with an accent. It is NFC, as RFC 8265 has it for passwords, and not NFKC: that would make more characters the same
// than a person sees as the same (ﬁ and fi, ² and 2), and so weaken what they chose. Spaces stay what they are, and nothing is
// trimmed. Whatever a stored hash was made with must stay: another form would lock people out.
func normalise(password string) string { return norm.NFC.String(password) }
