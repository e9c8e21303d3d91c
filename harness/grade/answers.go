package grade

// Question asks a student for something whose truth a run shows.
type Question struct {
	Name   string // its key in the file of answers
	Type   string // see QuestionTypes
	Prompt string
	Unit   string // of a number: "bytes"

	Choices []string // of a choice or a set: what may be answered; of an order: the points

	At        string // the point whose event the truth sees; "" is none
	Truth     string // an expression; of an order there is none, its truth is the run
	Tolerance Tolerance

	Hint   string // told when the answer is wrong
	Read   string // what to read
	Reveal bool   // whether the truth is told when the answer is wrong
	Score  int    // 0 is 1
}

// Tolerance is how far a number may be from the truth.
type Tolerance struct {
	Absolute float64 // in the number's unit
	Relative float64 // 0.05 is five per cent of the truth
}

// The types of question.
const (
	TypeNumber  = "number"
	TypeAddress = "address"
	TypeSymbol  = "symbol"
	TypeChoice  = "choice"
	TypeOrder   = "order"
	TypeSet     = "set"
)

// QuestionTypes returns the types.
func QuestionTypes() []string {
	return []string{TypeNumber, TypeAddress, TypeSymbol, TypeChoice, TypeOrder, TypeSet}
}

// Answers are what a student answered, by the question's name.
type Answers map[string]Answer

// Answer is the answer to one question by architecture; the key "" is every one.
// A value is an int or float64 of a number, an int of an address, a string of a
// symbol or choice, a []string of an order or set.
type Answer map[string]any
