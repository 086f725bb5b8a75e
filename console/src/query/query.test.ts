import { describe, expect, it } from "vitest";
import { andClause, conjuncts, filterState, quoteValue, toggleFilter, withoutField } from "./edit";
import { completionAt, indexOfByte, tokenize } from "./tokens";

const kinds = (query: string) =>
  tokenize(query)
    .filter((token) => token.kind !== "space")
    .map((token) => `${token.kind}:${token.text}`);

describe("tokenize", () => {
  it.each([
    ["", []],
    ["shell", ["word:shell"]],
    ["priority>=Warning", ["field:priority", "operator:>=", "value:Warning"]],
    ['rule:"a \\"b\\" c" x', ["field:rule", "operator::", 'string:"a \\"b\\" c"', "word:x"]],
    ["-proc.name:bash", ["negation:-", "field:proc.name", "operator::", "value:bash"]],
    ["not a and b OR c", ["keyword:not", "word:a", "keyword:and", "word:b", "keyword:OR", "word:c"]],
    ["container.image:nginx:1.2", ["field:container.image", "operator::", "value:nginx:1.2"]],
    ["rule:(a or b)", ["field:rule", "operator::", "paren:(", "value:a", "keyword:or", "value:b", "paren:)"]],
    ['"open', ['string:"open']],
    ["a-b", ["word:a-b"]],
    [":", ["operator::"]],
    ["fd.name:*", ["field:fd.name", "operator::", "value:*"]],
    ["priority >= Warning", ["field:priority", "operator:>=", "value:Warning"]],
    ['a:~"b"', ["field:a", "operator::~", 'string:"b"']],
    ["!a !=b", ["negation:!", "field:a", "operator:!=", "value:b"]],
    ["10.0.0.1:443", ["word:10.0.0.1", "operator::", "word:443"]],
    ["k8s.pod.label[app/x]=1", ["field:k8s.pod.label[app/x]", "operator:=", "value:1"]],
  ])("%s", (query, expected) => expect(kinds(query)).toEqual(expected));

  it("loses nothing, whatever the text", () => {
    const pieces = ["a", "rule", ":", '"', "\\", "(", ")", " ", "-", ">=", "!", "or", "é", "😀", "="];
    let seed = 7;
    for (let round = 0; round < 2_000; round += 1) {
      let query = "";
      for (let length = 0; length < 12; length += 1) {
        seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
        query += pieces[seed % pieces.length];
      }
      expect(tokenize(query).map((token) => token.text).join("")).toBe(query);
      completionAt(query, query.length);
      toggleFilter(query, "rule", "x", "include");
    }
  });
});

describe("indexOfByte", () => {
  it.each([
    ["abc", 2, 2],
    ["é:x", 2, 1],
    ["容器:x", 6, 2],
    ["😀x", 4, 2],
    ["ab", 99, 2],
  ])("%s byte %i", (text, bytes, expected) => expect(indexOfByte(text, bytes)).toBe(expected));
});

describe("completionAt", () => {
  it.each([
    ["", "field", undefined, ""],
    ["pri", "field", undefined, "pri"],
    ["rule:", "value", "rule", ""],
    ["rule:Te", "value", "rule", "Te"],
    ['rule:"Terminal sh', "value", "rule", "Terminal sh"],
    ['rule:"Terminal" ', "field", undefined, ""],
    ["rule:(a or ", "value", "rule", ""],
    ["rule:(a or b", "value", "rule", "b"],
    ["-pro", "field", undefined, "pro"],
    ["priority>=", "value", "priority", ""],
  ])("%s", (query, kind, field, prefix) => {
    const context = completionAt(query, query.length);
    expect([context.kind, context.field, context.prefix]).toEqual([kind, field, prefix]);
  });
});

describe("quoteValue", () => {
  it.each([
    ["bash", "bash"],
    ["docker.io/library/nginx:1.2", "docker.io/library/nginx:1.2"],
    ["two words", '"two words"'],
    ['say "x" \\', '"say \\"x\\" \\\\"'],
    ["or", '"or"'],
    ["-x", '"-x"'],
    ["a*", '"a*"'],
    ["", '""'],
    ["10.0.0.0/8", '"10.0.0.0/8"'],
    ["two\nlines", '"two\\nlines"'],
  ])("%s", (value, expected) => expect(quoteValue(value)).toBe(expected));
});

describe("conjuncts", () => {
  it.each([
    ["", []],
    ["a b and c", ["a", "b", "c"]],
    ["not a b", ["not a", "b"]],
    ["rule:(a or b) x", ["rule:(a or b)", "x"]],
    ["a or b", ["(a or b)"]],
    ["(a or b) c", ["(a or b)", "c"]],
    ["(a and not b) c", ["(a and not b)", "c"]],
    ["priority >= Warning x", ["priority>=Warning", "x"]],
  ])("%s", (query, expected) => expect(conjuncts(query)).toEqual(expected));
});

describe("toggleFilter", () => {
  it.each([
    ["", "include", "rule:A"],
    ["rule:A", "include", ""],
    ["rule:A", "exclude", "-rule:A"],
    ["-rule:A", "include", "rule:A"],
    ["not rule:A", "exclude", ""],
    ["rule:B", "include", "rule:(B or A)"],
    ["rule:(B or A or C)", "include", "rule:(B or C)"],
    ["-rule:B", "exclude", "-rule:(B or A)"],
    ["x or y", "include", "(x or y) and rule:A"],
    ["priority>=Warning shell", "exclude", "priority>=Warning and shell and -rule:A"],
  ] as const)("%s, %s", (query, mode, expected) => expect(toggleFilter(query, "rule", "A", mode)).toBe(expected));

  it.each([
    ["", "include", "-rule:*"],
    ["-rule:*", "include", ""],
    ["x", "exclude", "x and rule:*"],
  ] as const)("no value: %s, %s", (query, mode, expected) => expect(toggleFilter(query, "rule", "", mode)).toBe(expected));

  it("knows what it did", () => {
    const query = toggleFilter(toggleFilter("", "rule", "two words", "include"), "proc.name", "sh", "exclude");
    expect(filterState(query, "rule", "two words")).toBe("include");
    expect(filterState(query, "proc.name", "sh")).toBe("exclude");
    expect(filterState(query, "proc.name", "bash")).toBe(null);
    expect(withoutField(query, "rule")).toBe("-proc.name:sh");
    expect(withoutField("a  b", "rule")).toBe("a  b");
    expect(andClause("a or b", "priority>=Error")).toBe("(a or b) and priority>=Error");
  });
});
