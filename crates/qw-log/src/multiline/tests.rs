use super::*;

/// Lines of `log`, those that belong to the one before marked with `>`.
fn marked(rule: &str, log: &str) -> String {
    let rule = Multiline::parse(rule).unwrap().unwrap();
    let mut progress = Progress::default();
    let mut marked = String::new();
    for line in log.lines() {
        let step = rule.step(&mut progress, line.as_bytes());
        marked.push(if step == Step::Next { '>' } else { '.' });
    }
    marked
}

/// Every line of `trace` is of one record, under its own rule and under `auto`; what surrounds it is not.
#[track_caller]
fn check_trace(rule: &str, trace: &str) {
    let count = trace.lines().count();
    let log = format!("ordinary\nGET /error 200\n{trace}\nordinary\n");
    let expected = format!("...{}.", ">".repeat(count - 1));
    for rule in [rule, "auto"] {
        assert_eq!(marked(rule, &log), expected, "rule {rule}:\n{log}");
    }
}

#[test]
fn traces_of_java() {
    check_trace(
        "java",
        "Exception in thread \"main\" java.lang.IllegalStateException: no
\tat com.example.App.run(App.java:10)
\tat java.base/java.lang.Thread.run(Thread.java:840)
Caused by: java.io.IOException: broken
\tat com.example.Net.read(Net.java:7)
\t... 12 more
\tSuppressed: java.lang.RuntimeException: x
\t\tat com.example.A.b(A.java:1)",
    );
    check_trace(
        "java",
        "2026-11-21 07:15:50 ERROR [main] c.e.App - failed: java.lang.OutOfMemoryError
    at com.example.App.run(App.java:10)
    ... 3 common frames omitted",
    );
}

#[test]
fn traces_of_python() {
    check_trace(
        "python",
        "Traceback (most recent call last):
  File \"/app/a.py\", line 3, in <module>
    run()
    ~~~^^
  File \"/app/a.py\", line 1, in run
    raise ValueError(\"x\")
ValueError: x

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File \"/app/a.py\", line 5, in <module>
    other()
KeyError: 'y'",
    );
    check_trace(
        "python",
        "  + Exception Group Traceback (most recent call last):
  |   File \"a.py\", line 1, in <module>
  | ExceptionGroup: two (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | ValueError: 1",
    );
    check_trace(
        "python",
        "  File \"a.py\", line 1\n    x = = 1\n        ^\nSyntaxError: invalid syntax",
    );
}

#[test]
fn traces_of_go() {
    check_trace(
        "go",
        "panic: runtime error: invalid memory address or nil pointer dereference
[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x4a1b2c]

goroutine 1 [running]:
main.(*Server).run(0xc000010250, {0x5, 0x6})
\t/src/main.go:12 +0x1d
main.main()
\t/src/main.go:7 +0x20
created by net/http.(*Server).Serve in goroutine 1
\t/usr/local/go/src/net/http/server.go:3285 +0x4b4
exit status 2",
    );
    check_trace(
        "go",
        "2026/11/21 07:15:50 http: panic serving 10.0.0.1:4711: boom
goroutine 18 [running]:
net/http.(*conn).serve.func1()
\t/usr/local/go/src/net/http/server.go:1868 +0xb0
panic({0x6a1c20, 0x7b1d30})
\t/usr/local/go/src/runtime/panic.go:920 +0x270"
            .replace(
                "panic({0x6a1c20, 0x7b1d30})",
                "runtime.gopanic({0x6a1c20, 0x7b1d30})",
            )
            .as_str(),
    );
    check_trace(
        "go",
        "fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 [chan receive]:\nmain.main()\n\t/a.go:3 +0x1",
    );
}

#[test]
fn traces_of_ruby() {
    check_trace(
        "ruby",
        "app.rb:3:in `run': boom (RuntimeError)
\tfrom app.rb:7:in `block in <main>'
\tfrom app.rb:6:in `each'",
    );
    check_trace(
        "ruby",
        "ActionView::Template::Error (undefined method `x' for nil:NilClass):
    1: <h1>
    2: <%= x %>

app/views/a.html.erb:2:in `_app_views_a'
app/controllers/a.rb:12:in 'show'",
    );
}

#[test]
fn traces_of_node() {
    check_trace(
        "node",
        "TypeError: Cannot read properties of undefined (reading 'x')
    at run (/app/server.js:3:9)
    at process.processTicksAndRejections (node:internal/process/task_queues:95:5) {
  code: 'E_X',
  [cause]: Error: inner
      at a (/app/b.js:1:1)
}",
    );
    check_trace(
        "node",
        "/app/server.js:3
  throw new Thing();
  ^

RangeError [ERR_OUT]: out of range
    at Object.<anonymous> (/app/server.js:3:9)",
    );
}

#[test]
fn traces_of_dotnet() {
    check_trace(
        "dotnet",
        "Unhandled exception. System.InvalidOperationException: no
 ---> System.IO.IOException: broken
   at App.Net.Read() in /src/Net.cs:line 7
   --- End of inner exception stack trace ---
   at App.Program.Main(String[] args) in /src/Program.cs:line 3",
    );
}

#[test]
fn ordinary_lines_stand_alone() {
    let log = "\
listening on :8080
    indented without a trace
{\"level\":\"error\",\"msg\":\"java.io.IOException at once\"}
10.0.0.1 - - [21/Nov/2026:07:15:50 +0000] \"GET /Error HTTP/1.1\" 200 12
no Errors found
at last

E1121 07:15:50.601341 1 main.go:12] failed
Transfer: done
";
    assert_eq!(marked("auto", log), ".".repeat(log.lines().count()));
}

#[test]
fn only_the_chosen_languages_count() {
    let log = "panic: x\n\ngoroutine 1 [running]:\n";
    assert_eq!(marked("java, python", log), "...");
    assert_eq!(marked("go", log), ".>>");
}

#[test]
fn a_line_that_only_looks_like_an_error_stands_alone() {
    assert_eq!(
        marked("auto", "Error: one\nError: two\nthree\n  at last\n"),
        "...."
    );
}

#[test]
fn patterns_say_what_begins_and_what_goes_on() {
    let log = "tail of an earlier one\n2026-11-21 a\n b\nc\n2026-11-22 d\n";
    assert_eq!(marked(r"first:^\d{4}-", log), "..>>.");
    assert_eq!(marked(r"next:^\s", log), "..>..");
}

#[test]
fn rules_are_read_and_wrong_ones_named() {
    for off in ["", "off", " none ", "false"] {
        assert!(Multiline::parse(off).unwrap().is_none());
    }
    let check = |rule: &str, expected: &str| {
        let error = Multiline::parse(rule).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check("java,cobol", "`cobol`");
    check("first:", "1 to 1024 bytes");
    check("first:(", "unclosed group");
    check(r"next:\w{1000}{1000}", "size limit");
    check(&format!("first:{}", "x".repeat(1025)), "1 to 1024 bytes");
}
