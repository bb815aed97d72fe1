package sigma

import (
	"fmt"
	"strings"

	sigmago "github.com/bradleyjkemp/sigma-go"

	"postern"
)

// compileCondition parses a condition over the rule's selections.
//
// Grammar and precedence are the library's. Its lexer does not know all names
// that rules use (digits before a *, hyphens, operators in capitals), so that
// the condition goes to it with every name replaced by x0, x1 … and comes back
// as a tree of those.
func (c *compiler) compileCondition(line int, condition string) (*node, error) {
	if strings.Contains(condition, "|") {
		return nil, unsupported(line, postern.Say("sigma.aggregation"),
			"the condition aggregates with |, as Sigma 1 did: write a correlation")
	}
	if len(condition) > maxConditionBytes {
		return nil, beyond(line, postern.Say("sigma.condition-large"),
			"the condition is longer than %d bytes: use 1 of or all of", maxConditionBytes)
	}
	plain, names, err := plainCondition(line, condition)
	if err != nil {
		return nil, err
	}
	var n *node
	if plain == "x0" { // as most are: spare the parser
		n, err = c.named(line, opAnd, plain, names)
	} else {
		parsed, bad := parseCondition(plain)
		if bad != nil {
			condition = excerpt(condition)
			return nil, malformed(line, postern.Say("sigma.condition-bad", "condition", condition),
				"the condition %q does not parse (%v): check its brackets and operators", condition, bad)
		}
		n, err = c.compileSearchExpr(line, parsed.Search, names)
	}
	if err != nil {
		return nil, err
	}
	if n.size > maxTreeSize {
		return nil, tooLarge(line)
	}
	return n, nil
}

func tooLarge(line int) error {
	return beyond(line, postern.Say("sigma.condition-large"),
		"the condition with its selections has more than %d steps: split the rule", maxTreeSize)
}

func parseCondition(s string) (cond sigmago.Condition, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the condition parser failed: %v", p)
		}
	}()
	return sigmago.ParseCondition(s)
}

// name is what one of the names x0, x1 … stands for.
type name struct {
	text   string
	oneAll bool // after "1 of" or "all of": a pattern, or "them"
}

// brackets sets brackets apart from the words beside them.
var brackets = strings.NewReplacer("(", " ( ", ")", " ) ")

// plainCondition writes a condition in the words that the library's lexer knows.
func plainCondition(line int, condition string) (string, []name, error) {
	var (
		out   []string
		names []name
		depth int // of brackets and of nots before one operand
		nots  int
	)
	words := strings.Fields(brackets.Replace(condition))
	for i := 0; i < len(words); i++ {
		w := words[i]
		lower := strings.ToLower(w)
		switch {
		case w == "(":
			depth++
			out = append(out, w)
		case w == ")":
			depth--
			out = append(out, w)
		case lower == "and" || lower == "or" || lower == "not":
			if nots++; lower != "not" {
				nots = 0
			}
			out = append(out, lower)
		case (lower == "1" || lower == "any" || lower == "all") && i+2 < len(words) && strings.EqualFold(words[i+1], "of"):
			quantifier := "1 of"
			if lower == "all" {
				quantifier = "all of"
			}
			i += 2
			out = append(out, quantifier, fmt.Sprintf("x%d", len(names)))
			names = append(names, name{words[i], true})
		default:
			out = append(out, fmt.Sprintf("x%d", len(names)))
			names = append(names, name{w, false})
		}
		if depth+nots > maxConditionDepth {
			return "", nil, beyond(line, postern.Say("sigma.condition-large"),
				"the condition nests deeper than %d: take brackets out", maxConditionDepth)
		}
	}
	return strings.Join(out, " "), names, nil
}

func (c *compiler) compileSearchExpr(line int, e sigmago.SearchExpr, names []name) (*node, error) {
	switch e := e.(type) {
	case sigmago.And:
		return c.compileJoin(line, opAnd, e, names)
	case sigmago.Or:
		return c.compileJoin(line, opOr, e, names)
	case sigmago.Not:
		kid, err := c.compileSearchExpr(line, e.Expr, names)
		if err != nil {
			return nil, err
		}
		return notNode(kid), nil
	case sigmago.SearchIdentifier:
		return c.named(line, opAnd, e.Name, names)
	case sigmago.OneOfIdentifier:
		return c.named(line, opOr, e.Ident.Name, names)
	case sigmago.AllOfIdentifier:
		return c.named(line, opAnd, e.Ident.Name, names)
	}
	return nil, malformed(line, postern.Say("sigma.condition-bad", "condition", fmt.Sprint(e)),
		"the condition has a part %T that is not understood", e)
}

func (c *compiler) compileJoin(line int, op op, exprs []sigmago.SearchExpr, names []name) (*node, error) {
	var kids []*node
	for _, e := range exprs {
		kid, err := c.compileSearchExpr(line, e, names)
		if err != nil {
			return nil, err
		}
		kids = append(kids, kid)
	}
	return join(op, kids), nil
}

// named gives the selections that a name of the plain condition stands for.
func (c *compiler) named(line int, op op, plain string, names []name) (*node, error) {
	var i int
	if _, err := fmt.Sscanf(plain, "x%d", &i); err != nil || i >= len(names) {
		return nil, malformed(line, postern.Say("sigma.condition-bad", "condition", plain),
			"the condition has an operator %q where a selection should stand", plain)
	}
	n := names[i]
	if !n.oneAll {
		if sel := c.selections[n.text]; sel != nil {
			return sel, nil
		}
		return nil, c.dangling(line, n.text)
	}
	var kids []*node
	p := selectionPattern(n.text)
	for _, sel := range c.names {
		// Selections that begin with _ are meant only by a pattern that does too.
		if strings.HasPrefix(sel, "_") && !strings.HasPrefix(n.text, "_") {
			continue
		}
		if p.match([]byte(sel)) {
			kids = append(kids, c.selections[sel])
		}
	}
	if len(kids) == 0 {
		return nil, c.dangling(line, n.text)
	}
	if c.steps += len(kids); c.steps > maxTreeSize {
		return nil, tooLarge(line)
	}
	return join(op, kids), nil
}

func (c *compiler) dangling(line int, text string) error {
	return malformed(line, postern.Say("sigma.condition-dangling", "name", text),
		"the condition names %q, but the selections are %s", text, strings.Join(c.names, ", "))
}

// selectionPattern reads what follows "1 of": "them", or a name with asterisks.
func selectionPattern(s string) pattern {
	if strings.EqualFold(s, "them") {
		s = "*"
	}
	var t text
	for i, lit := range strings.Split(s, "*") {
		if i > 0 {
			t = append(t, part{wild: '*'})
		}
		if lit != "" {
			t = append(t, part{lit: lit})
		}
	}
	return compileText(t, true)
}
