package lint

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// module is the path of this module.
const module = "github.com/cqrsflow/cqrsflow"

// file is a Go file of this module.
type file struct {
	// pkg is the folder, relative to the module's root, such as "domain/order".
	pkg string
	// name is the path for messages, such as "domain/order/decide.go".
	name string
	// test says that it is compiled into tests only: a test file, or a file of a package whose name ends in "test".
	test    bool
	imports []string
	// uses are the names that the file takes from packages of this module: "schemas/order/v1.OrderPaid".
	uses []string
}

// source reads all Go files of the module at root; nested modules, hidden folders and testdata are not of it.
func source(root string) ([]file, error) {
	var files []file
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if rel != "." && (strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_") || d.Name() == "testdata" || isModule(p)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") {
			return nil
		}
		f, err := parse(p, rel)
		if err != nil {
			return err
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

func isModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func parse(p, rel string) (file, error) {
	f := file{name: rel, pkg: path.Dir(rel), test: strings.HasSuffix(rel, "_test.go") || strings.HasSuffix(path.Dir(rel), "test")}
	tree, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.SkipObjectResolution)
	if err != nil {
		return f, fmt.Errorf("parse %s: %w", rel, err)
	}
	ours := map[string]string{} // by the name that the file has for it
	for _, spec := range tree.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return f, fmt.Errorf("parse %s: %w", rel, err)
		}
		f.imports = append(f.imports, imported)
		if pkg, ok := strings.CutPrefix(imported, module+"/"); ok {
			name := path.Base(pkg)
			if generated(pkg) { // schemas/order/v1 is package orderv1
				name = path.Base(path.Dir(pkg)) + name
			}
			if spec.Name != nil {
				name = spec.Name.Name
			}
			ours[name] = pkg
		}
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && ours[x.Name] != "" {
				f.uses = append(f.uses, ours[x.Name]+"."+s.Sel.Name)
			}
		}
		return true
	})
	return f, nil
}
