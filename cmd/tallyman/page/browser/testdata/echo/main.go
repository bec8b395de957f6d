// Echo writes the lines of its standard input to its standard output, those that
// begin with "!" to its standard error, and "exit N" ends it with the code N.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

func main() {
	in := bufio.NewReaderSize(os.Stdin, 4<<20)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if code, found := strings.CutPrefix(line, "exit "); found {
			n, err := strconv.Atoi(strings.TrimSpace(code))
			if err != nil {
				n = 1
			}
			os.Exit(n)
		}
		if text, found := strings.CutPrefix(line, "!"); found {
			fmt.Fprint(os.Stderr, text)
		} else {
			fmt.Print(line)
		}
	}
}
