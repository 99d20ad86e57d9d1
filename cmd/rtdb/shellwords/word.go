package shellwords

import (
	"strings"
	"unicode"
)

// A Word is a word of a command line.
type Word struct {
	Text string // without quotes and backslashes

	quote byte // ' or ", if the word ends within such a quote; else 0
	start int  // bytes of Text before the part that bash replaces
}

// Split returns the words of a line that is cut off at the cursor. The last one is the word
// at the cursor, which may be empty. breaks are the characters of COMP_WORDBREAKS. An
// unquoted < or > is a word of its own.
func Split(line, breaks string) []Word {
	var all []Word
	s := splitter{breaks: breaks}
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case s.escaped:
			s.add(c)
			s.escaped = false
		case s.word.quote == '\'' && c != '\'':
			s.add(c)
		case s.word.quote == '"' && c == '\\' && i+1 < len(line) && strings.IndexByte("\\\"$`", line[i+1]) < 0:
			s.add(c) // it stands for itself
		case c == '\\':
			s.escaped, s.begun = true, true
		case s.word.quote != 0 && c == s.word.quote:
			s.word.quote, s.word.start = 0, s.before
		case s.word.quote != 0:
			s.add(c)
		case c == '\'' || c == '"':
			s.before = s.word.start
			s.word.quote, s.word.start, s.begun = c, len(s.text), true
		case c == ' ' || c == '\t' || c == '\n' || c == '<' || c == '>':
			if s.begun {
				all = append(all, s.take())
			}
			if c == '<' || c == '>' {
				all = append(all, Word{Text: string(c)})
			}
		default:
			s.add(c)
			if strings.IndexByte(s.breaks, c) >= 0 {
				s.word.start = len(s.text)
			}
		}
	}
	return append(all, s.take())
}

// A splitter is the state of a Split within a word.
type splitter struct {
	breaks  string
	word    Word
	text    []byte
	begun   bool // there is a word, which may be empty
	escaped bool // the last character was a backslash
	before  int  // the start of the word before its quote
}

func (s *splitter) add(c byte) {
	s.text = append(s.text, c)
	s.begun = true
}

func (s *splitter) take() Word {
	w := s.word
	w.Text = string(s.text)
	*s = splitter{breaks: s.breaks}
	return w
}

// Complete returns the text that bash puts in place of the end of w to make the word full,
// which begins with w.Text. If final is set, the word is complete, and a space follows
// unless a quote is open: bash closes it.
func (w Word) Complete(full string, final bool) string {
	rest := full[w.start:]
	switch {
	case w.quote == '\'':
		return strings.ReplaceAll(rest, `'`, `'\''`)
	case w.quote == '"':
		return inDoubleQuotes.Replace(rest)
	}
	text := escape(rest, w.start == 0)
	if final {
		text += " "
	}
	return text
}

var inDoubleQuotes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`")

// escape puts a backslash before each character that has a meaning to bash.
func escape(text string, first bool) string {
	var b strings.Builder
	for i, r := range text {
		safe := unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || strings.ContainsRune("_./:@%+,=-", r) ||
			r == '#' && (i > 0 || !first) || r > unicode.MaxASCII && !unicode.IsSpace(r)
		if !safe {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
