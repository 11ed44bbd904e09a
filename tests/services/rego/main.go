// The engine of official nodes. Without arguments it evaluates: one JSON object per line in, one out. With arguments it
// is the program `opa`.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"

	"github.com/open-policy-agent/opa/cmd"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/types"
	"golang.org/x/crypto/scrypt"
)

type question struct {
	Modules map[string]string `json:"modules"`
	Rule    string            `json:"rule"`
	Input   json.RawMessage   `json:"input"`
}

var hashing = rego.Function2(
	&rego.Function{Name: "scrypt", Decl: types.NewFunction(types.Args(types.S, types.S), types.S), Memoize: true},
	func(_ rego.BuiltinContext, first, second *ast.Term) (*ast.Term, error) {
		var password, salt string
		if err := ast.As(first.Value, &password); err != nil {
			return nil, err
		}
		if err := ast.As(second.Value, &salt); err != nil {
			return nil, err
		}
		raw, err := base64.StdEncoding.DecodeString(salt)
		if err != nil {
			return nil, err
		}
		hash, err := scrypt.Key([]byte(password), raw, 32768, 8, 1, 32)
		if err != nil {
			return nil, err
		}
		return ast.StringTerm(base64.StdEncoding.EncodeToString(hash)), nil
	},
)

func answer(line []byte) map[string]any {
	var q question
	if err := json.Unmarshal(line, &q); err != nil {
		return map[string]any{"error": err.Error()}
	}
	options := []func(*rego.Rego){rego.Query("data." + q.Rule), hashing, rego.StrictBuiltinErrors(true)}
	for name, text := range q.Modules {
		options = append(options, rego.Module(name, text))
	}
	ctx := context.Background()
	query, err := rego.New(options...).PrepareForEval(ctx)
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	var input any
	if len(q.Input) > 0 {
		if err := json.Unmarshal(q.Input, &input); err != nil {
			return map[string]any{"error": err.Error()}
		}
	}
	result, err := query.Eval(ctx, rego.EvalInput(input))
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	if len(result) == 0 {
		return map[string]any{"undefined": true}
	}
	return map[string]any{"value": result[0].Expressions[0].Value}
}

func main() {
	if len(os.Args) > 1 {
		if err := cmd.RootCommand.Execute(); err != nil {
			os.Exit(1)
		}
		return
	}
	lines := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		text, err := json.Marshal(answer(line))
		if err != nil {
			text = []byte(`{"error":"not JSON"}`)
		}
		fmt.Println(string(text))
	}
}
