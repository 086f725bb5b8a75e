import { describe, expect, it } from "vitest";
import { isFieldName, lineFields } from "./line-fields";

const told = (text: string) => lineFields(text).map(({ name, value }) => `${name}=${value}`);

describe("lineFields", () => {
  it.each<[string, string[]]>([
    ['{"level":"info","http":{"status":200,"ok":true},"tags":["a"],"none":null}', ["level=info", "http.status=200", "http.ok=true", 'tags=["a"]', "none=null"]],
    ['{"broken":', []],
    ["{}", []],
    ['level=warn msg="two words" took=12ms', ["level=warn", "msg=two words", "took=12ms"]],
    ['msg="a \\"b\\"\\n" x=', ['msg=a "b"\n', "x="]],
    ["only one=pair", []],
    ["https://a.example/?a=1&b=2", []],
    ["plain words", []],
  ])("%s", (text, expected) => expect(told(text)).toEqual(expected));

  it("is bounded in members, depth and length", () => {
    const many = JSON.stringify(Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`n${index}`, index])));
    expect(lineFields(many)).toHaveLength(200);
    expect(lineFields(`${'{"a":'.repeat(50)}1${"}".repeat(50)}`)).toHaveLength(1);
    expect(lineFields(`{"a":"${"x".repeat(70_000)}"}`)).toEqual([]);
  });
});

it.each([
  ["http.status", true],
  ["@timestamp", false],
  ["a b", false],
  ["time", false],
])("a query can name %s: %s", (name, expected) => expect(isFieldName(name)).toBe(expected));
