package cli

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/spf13/cobra"
)

func (c *command) health() *cobra.Command {
	return &cobra.Command{
		Use: "health", Short: "Ask the running agent how it is; exit code 0 when it is well, 1 when it is not, 3 when it does not answer",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Its health is open to all, so nothing else is asked for.
			s, err := c.agent(cmd.Context(), "/health")
			if err != nil {
				return err
			}
			defer s.close()
			return c.printHealth(cmd.Context(), s)
		},
	}
}

// printHealth prints what the agent says. The error says that it is not well.
func (c *command) printHealth(ctx context.Context, s *session) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	response, err := s.get(ctx, "/health", nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(c.Stdout, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return errors.New("the agent is not healthy")
	}
	return nil
}
