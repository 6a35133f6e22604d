package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) tagCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "tag JID KEY=VALUE...",
		Short:   "set tags of a job",
		Long:    "Set tags of a job, which stay with it on the books. KEY= takes a tag away.",
		Example: "  jobctl tag 17 project=atlas ticket=4711\n  jobctl tag self ticket=",
		Args:    needs("JID", "KEY=VALUE..."),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.tag(cmd, args[0], args[1:]) },
	}
}

func (a *app) tag(cmd *cobra.Command, name string, pairs []string) error {
	ref, err := jobRef(name)
	if err != nil {
		return err
	}
	tags, err := parseTags(cmd, pairs)
	if err != nil {
		return err
	}
	in, err := a.client().Tag(cmd.Context(), ref, tags)
	if err != nil {
		return cannot("tag "+name, err)
	}
	return a.show(in, func() error { return a.say("%d has the tags %s", in.Seq, tagText(in.Tags)) })
}

func parseTags(cmd *cobra.Command, pairs []string) (map[string]string, error) {
	tags := make(map[string]string)
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, badUsage(cmd, fmt.Sprintf("%q is not KEY=VALUE", pair))
		}
		if _, twice := tags[key]; twice {
			return nil, badUsage(cmd, fmt.Sprintf("%q is named twice", key))
		}
		tags[key] = value
	}
	return tags, nil
}
