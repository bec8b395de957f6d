package template

import (
	"slices"
	"text/template/parse"
)

// words are fields and methods of a message.
type words []string

// lineWords come from the message's line, answerWords from the engine's answer
// about its container.
var (
	lineWords   = words{"Source", "Data", "Time", "Priority", "Severity", "Timestamp"}
	answerWords = words{"Container"}
)

// in reports whether a part of a template may read one of the words. It errs on
// the side of yes: it does not follow what with and range do to the dot, so that
// a container's field of the same name counts too, and so does a dot on its own.
func (w words) in(node parse.Node) bool {
	switch n := node.(type) {
	case *parse.ListNode:
		return n != nil && slices.ContainsFunc(n.Nodes, w.in)
	case *parse.ActionNode:
		return w.in(n.Pipe)
	case *parse.IfNode:
		return w.inBranch(&n.BranchNode)
	case *parse.RangeNode:
		return w.inBranch(&n.BranchNode)
	case *parse.WithNode:
		return w.inBranch(&n.BranchNode)
	case *parse.TemplateNode:
		return w.in(n.Pipe)
	case *parse.PipeNode:
		return n != nil && slices.ContainsFunc(n.Cmds, func(command *parse.CommandNode) bool {
			return slices.ContainsFunc(command.Args, w.in)
		})
	case *parse.DotNode:
		return true
	case *parse.FieldNode:
		return slices.Contains(w, n.Ident[0])
	case *parse.VariableNode:
		// The variable $ is the message; any other one has been looked at where
		// it was set.
		return n.Ident[0] == "$" && (len(n.Ident) == 1 || slices.Contains(w, n.Ident[1]))
	case *parse.ChainNode:
		return w.in(n.Node)
	default:
		return false
	}
}

func (w words) inBranch(n *parse.BranchNode) bool {
	return w.in(n.Pipe) || w.in(n.List) || w.in(n.ElseList)
}
