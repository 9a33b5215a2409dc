package api

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jhump/protoreflect/v2/protoprint"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// protoFiles are the .proto files of some messages and what they import, as other programs can compile them: without options
// that need files of other projects, with the comments of the originals.
type protoFiles struct {
	comments map[string]string
	byPath   map[string]*descriptorpb.FileDescriptorProto
	// common are Google's files that they import.
	common map[string]protoreflect.FileDescriptor
}

func newProtoFiles(comments map[string]string) *protoFiles {
	return &protoFiles{comments, map[string]*descriptorpb.FileDescriptorProto{}, map[string]protoreflect.FileDescriptor{}}
}

// Every compiler has Google's files; rules are not needed for reading.
func isCommon(path string) bool { return strings.HasPrefix(path, "google/protobuf/") }
func isRules(path string) bool  { return strings.HasPrefix(path, "buf/validate/") }

// add adds the file of a message and what it imports, and returns its path.
func (f *protoFiles) add(m protoreflect.MessageDescriptor) string {
	f.file(m.ParentFile())
	return m.ParentFile().Path()
}

func (f *protoFiles) file(fd protoreflect.FileDescriptor) {
	if isCommon(fd.Path()) {
		f.common[fd.Path()] = fd
	}
	if _, there := f.byPath[fd.Path()]; there || isCommon(fd.Path()) || isRules(fd.Path()) {
		return
	}
	p := protodesc.ToFileDescriptorProto(fd)
	f.byPath[fd.Path()] = p
	for i := range fd.Imports().Len() {
		f.file(fd.Imports().Get(i).FileDescriptor)
	}
	p.Options = nil
	p.Dependency = slices.DeleteFunc(p.Dependency, isRules)
	p.SourceCodeInfo = &descriptorpb.SourceCodeInfo{}
	for i, m := range p.MessageType {
		f.message(p, m, p.GetPackage(), []int32{4, int32(i)})
	}
	for i, e := range p.EnumType {
		f.enum(p, e, p.GetPackage(), []int32{5, int32(i)})
	}
}

// message takes the options away and puts the comments in. The path is that of descriptor.proto's Location.
func (f *protoFiles) message(in *descriptorpb.FileDescriptorProto, m *descriptorpb.DescriptorProto, scope string, path []int32) {
	name := scope + "." + m.GetName()
	f.comment(in, name, path)
	if !m.GetOptions().GetMapEntry() {
		m.Options = nil
	}
	for i, field := range m.Field {
		field.Options = nil
		f.comment(in, name+"."+field.GetName(), append(slices.Clone(path), 2, int32(i)))
	}
	for _, o := range m.OneofDecl {
		o.Options = nil
	}
	for i, nested := range m.NestedType {
		f.message(in, nested, name, append(slices.Clone(path), 3, int32(i)))
	}
	for i, e := range m.EnumType {
		f.enum(in, e, name, append(slices.Clone(path), 4, int32(i)))
	}
}

func (f *protoFiles) enum(in *descriptorpb.FileDescriptorProto, e *descriptorpb.EnumDescriptorProto, scope string, path []int32) {
	f.comment(in, scope+"."+e.GetName(), path)
	e.Options = nil
	for _, v := range e.Value {
		v.Options = nil
	}
}

func (f *protoFiles) comment(in *descriptorpb.FileDescriptorProto, name string, path []int32) {
	if text := f.comments[name]; text != "" {
		in.SourceCodeInfo.Location = append(in.SourceCodeInfo.Location, &descriptorpb.SourceCodeInfo_Location{
			Path: path, Span: []int32{0, 0, 0}, LeadingComments: proto.String(" " + text + "\n")})
	}
}

// texts are the files by path.
func (f *protoFiles) texts() (map[string]string, error) {
	set := &descriptorpb.FileDescriptorSet{}
	for _, p := range f.byPath {
		set.File = append(set.File, p)
	}
	for _, fd := range f.common {
		set.File = append(set.File, protodesc.ToFileDescriptorProto(fd))
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return nil, fmt.Errorf("proto files: %w", err)
	}
	out := map[string]string{}
	printer := protoprint.Printer{Compact: true}
	for path := range f.byPath {
		fd, err := files.FindFileByPath(path)
		if err == nil {
			out[path], err = printer.PrintProtoToString(fd)
		}
		if err != nil {
			return nil, fmt.Errorf("proto file %s: %w", path, err)
		}
	}
	return out, nil
}
