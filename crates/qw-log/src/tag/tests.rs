use proptest::prelude::*;

use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn container() -> Container<'static> {
    Container {
        config: [
            ("tag", "x"),
            ("labels", "team,none"),
            ("env-regex", "^APP_"),
        ]
        .into(),
        id: ID,
        name: "/web-1",
        entrypoint: "/bin/app",
        args: vec!["-v", "serve"],
        image_id: "sha256:abcdefabcdefabcdef",
        image_name: "shop/web:1.2",
        created: "2026-11-21T07:15:50.5Z".parse().unwrap(),
        env: vec!["APP_MODE=prod", "SECRET=x", "APP_N=1=2"],
        labels: [("team", "blue"), ("com.docker.compose.service", "web")].into(),
        log_path: "/var/lib/docker/x.log",
        daemon_name: "docker",
        hostname: "host-1",
    }
}

fn render(template: &str) -> Result<String, TagError> {
    Template::parse(template)?.render(&container())
}

#[track_caller]
fn check(template: &str, expected: &str) {
    assert_eq!(render(template).as_deref(), Ok(expected), "{template}");
}

#[test]
fn fields_of_docker() {
    check(DEFAULT, "0123456789ab");
    check(
        "{{.ImageName}}/{{.Name}}/{{.ID}}",
        "shop/web:1.2/web-1/0123456789ab",
    );
    check("{{ .FullID }} {{.ContainerID}}", &format!("{ID} {ID}"));
    check(
        "{{.ContainerName}}|{{.ImageID}}|{{.ImageFullID}}",
        "/web-1|abcdefabcdef|sha256:abcdefabcdefabcdef",
    );
    check(
        "{{.Command}}|{{.ContainerEntrypoint}}|{{.ContainerArgs}}",
        "/bin/app -v serve|/bin/app|[-v serve]",
    );
    check(
        "{{.Hostname}} {{.DaemonName}} {{.LogPath}}",
        "host-1 docker /var/lib/docker/x.log",
    );
    check("{{.ContainerCreated}}", "2026-11-21 07:15:50.5 +0000 UTC");
    check("{{.ContainerCreated.Unix}}", "1795245350");
    check(
        "{{.ContainerLabels}}",
        "map[com.docker.compose.service:web team:blue]",
    );
    check(
        "{{.ContainerLabels.team}} {{.ContainerLabels.none}}",
        "blue <no value>",
    );
    check(
        r#"{{index .ContainerLabels "com.docker.compose.service"}}"#,
        "web",
    );
    check(
        r#"{{index .ContainerLabels "none"}}|{{index .ContainerEnv 1}}"#,
        "|SECRET=x",
    );
    check("{{.Config.tag}}", "x");
    check("plain { text } }}", "plain { text } }}");
    check("", "");
    let short = Container {
        id: "0123",
        ..Container::default()
    };
    let template = Template::parse("{{.ID}}/{{.ImageID}}").unwrap();
    assert_eq!(template.render(&short).as_deref(), Ok("0123/"));
}

#[test]
fn functions_of_docker() {
    check(
        "{{.Name | upper}} {{lower \"ABC\"}} {{title \"ab cd-e f_g\"}}",
        "WEB-1 abc Ab Cd-E F_g",
    );
    check(
        "{{json .Name}} {{json .ContainerArgs}} {{json .ContainerLabels}}",
        r#""web-1" ["-v","serve"] {"com.docker.compose.service":"web","team":"blue"}"#,
    );
    check("{{json \"<&>\"}}", r#""<&>""#);
    check(r#"{{join (split .ImageName "/") "_"}}"#, "shop_web:1.2");
    check(r#"{{index (split .ImageName ":") 1}}"#, "1.2");
    check(r#"{{split "a" ""}}{{split "" ","}}"#, "[a][]");
    check(r#"[{{pad .Name 2 1}}] [{{pad "" 2 1}}]"#, "[  web-1 ] []");
    check(
        "{{truncate .ID 4}} {{truncate \"ab\" 9}} {{truncate \"aé\" 2}}",
        "0123 ab a",
    );
}

#[test]
fn functions_of_the_language() {
    check(
        r#"{{printf "%s-%05d|%-6s|%6s|%q|%x|%v%%" .Name 42 "ab" "cd" "e" 255 true}}"#,
        r#"web-1-00042|ab    |    cd|"e"|ff|true%"#,
    );
    check(r#"{{printf "%d %s" "x"}}"#, "%!d(string=x) %!s(MISSING)");
    check(
        r#"{{printf "%.2f %+d" 1.5 3}} {{printf "x" 1}}"#,
        "1.50 +3 x%!(EXTRA int=1)",
    );
    check(r#"{{print "a" 1 2 "b"}} {{println "x" 1}}"#, "a1 2b x 1\n");
    check(
        r#"{{len .Name}} {{len .ContainerArgs}} {{slice .Name 1 3}} {{slice .ContainerArgs 1}}"#,
        "5 2 eb [serve]",
    );
    check(
        r#"{{html "<a href='x'>"}} {{urlquery "a b&c"}} {{js "it's <b>"}}"#,
        "&lt;a href=&#39;x&#39;&gt; a+b%26c it\\'s \\u003Cb\\u003E",
    );
    check(
        r#"{{eq .Name "x" "web-1"}} {{ne 1 2}} {{lt 1 2}} {{ge "a" "b"}} {{not ""}}"#,
        "true true true false true",
    );
    check(
        r#"{{and .Name "y"}} {{or "" "z"}} {{and "" .Name}}|{{or .Name (index .ContainerArgs 9)}}"#,
        "y z |web-1",
    );
    check(
        "{{1}} {{-2}} {{1.5}} {{0x10}} {{'a'}} {{true}} {{`raw}}`}}",
        "1 -2 1.5 16 97 true raw}}",
    );
}

#[test]
fn blocks_variables_and_trimming() {
    check(r#"{{if eq .DaemonName "docker"}}d{{else}}e{{end}}"#, "d");
    check(r#"{{if ""}}a{{else if .Name}}b{{else}}c{{end}}"#, "b");
    check(
        "{{with .ContainerLabels.team}}team {{.}}{{else}}none{{end}}",
        "team blue",
    );
    check(
        "{{with .ContainerLabels.none}}{{.}}{{else}}none of {{.Name}}{{end}}",
        "none of web-1",
    );
    check("{{range .ContainerArgs}}<{{.}}>{{end}}", "<-v><serve>");
    check(
        "{{range $number, $word := .ContainerArgs}}{{$number}}={{$word}},{{$.Name}} {{end}}",
        "0=-v,web-1 1=serve,web-1 ",
    );
    check(
        "{{range $name, $value := .ContainerLabels}}{{$name}}:{{$value}};{{end}}",
        "com.docker.compose.service:web;team:blue;",
    );
    check(r#"{{range split "" ","}}x{{else}}y{{end}}"#, "x");
    check(r#"{{$x := "a"}}{{if true}}{{$x = "b"}}{{end}}{{$x}}"#, "b");
    check(
        "a  {{- .DaemonName -}}  b {{/* comment }} */}}c{{- /* x */ -}} d",
        "adockerb cd",
    );
    check(
        "{{ (index .ContainerArgs 0) | printf \"%s%s\" \"x\" }}",
        "x-v",
    );
}

#[test]
fn errors_say_where() {
    let check = |template: &str, position: usize, expected: &str| {
        let error = render(template).unwrap_err();
        assert!(error.message.contains(expected), "{template}: {error}");
        assert_eq!(error.position, position, "{template}: {error}");
    };
    check("ab {{.Nam}}", 5, "no field `Nam`");
    check("{{.Name", 0, "`{{` without `}}`");
    check("{{nothing .Name}}", 2, "function `nothing` does not exist");
    check("{{.Name | }}", 2, "a value is missing");
    check("{{}}", 0, "a value is missing");
    check("{{$x}}", 2, "variable `$x`");
    check("{{if .Name}}x", 0, "`if` without `end`");
    check("x{{end}}", 1, "`end` without a block");
    check("{{if 1}}{{else}}{{else}}{{end}}", 16, "second `else`");
    check("{{(.Name}}", 2, "`(` without `)`");
    check("{{.Name)}}", 7, "unexpected `)`");
    check("{{\"abc}}", 0, "`{{` without `}}`");
    check("{{template \"x\"}}", 0, "not available");
    check("{{.Name 1}}", 2, "takes no arguments");
    check("{{lower 1}}", 2, "`lower` takes one string, not (int)");
    check("{{index .ContainerArgs 7}}", 2, "7 is not in a list of 2");
    check("{{.Name.x}}", 2, "a string has no field `x`");
    check("{{eq 1 \"x\"}}", 2, "cannot be compared");
    check("{{pad .Name -1 0}}", 2, "0 to 65536");
    check(
        "{{with .Name}}{{.Nothing}}{{end}}",
        16,
        "a string has no field `Nothing`",
    );
    check("{{range 1}}{{end}}", 0, "`range` takes a list");
    check("{{.Name § }}", 8, "unexpected `§`");
    check("{{1x}}", 2, "`1x` is no number");
    check(&"x".repeat(5000), 4096, "longer than 4096");
    assert_eq!(
        render("{{.Nam}}").unwrap_err().to_string(),
        "tag template, byte 2: a container has no field `Nam`"
    );
}

#[test]
fn work_and_output_are_bounded() {
    let nested = format!(
        "{}{}",
        r#"{{range split "aaaaaaaaaaaaaaaaaaaa" ""}}"#.repeat(5),
        "{{end}}".repeat(5)
    );
    assert!(
        render(&nested)
            .unwrap_err()
            .message
            .contains("too many steps")
    );
    let doubled = r#"{{$x := "a"}}"#.to_owned() + &"{{$x = print $x $x}}".repeat(100);
    assert!(
        render(&doubled)
            .unwrap_err()
            .message
            .contains("longer than 65536")
    );
    let text = format!(
        "{}{}{}",
        r#"{{range split "aaaaaaaaaaaaaaaaaaaa" ""}}"#.repeat(3),
        "x".repeat(3000),
        "{{end}}".repeat(3)
    );
    assert!(
        render(&text)
            .unwrap_err()
            .message
            .contains("longer than 65536")
    );
    let long = "{{pad \"x\" 60000 0}}{{pad \"x\" 60000 0}}";
    assert!(
        render(long)
            .unwrap_err()
            .message
            .contains("longer than 65536")
    );
    let deep = "{{".to_owned() + &"(".repeat(1000) + "}}";
    assert!(
        render(&deep)
            .unwrap_err()
            .message
            .contains("within each other")
    );
    let deep = "{{if 1}}".repeat(200);
    assert!(
        render(&deep)
            .unwrap_err()
            .message
            .contains("within each other")
    );
    let chain = "{{if 1}}".to_owned() + &"{{else if 1}}".repeat(200) + "{{end}}";
    assert!(
        render(&chain)
            .unwrap_err()
            .message
            .contains("within each other")
    );
}

#[test]
fn attributes_that_options_ask_for() {
    let extra = extra_attributes(&container()).unwrap();
    let extra: Vec<_> = extra
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(extra, ["APP_MODE=prod", "APP_N=1=2", "team=blue"]);
    let mut wrong = container();
    wrong.config = [("labels-regex", "(")].into();
    assert!(
        extra_attributes(&wrong)
            .unwrap_err()
            .contains("`labels-regex`")
    );
}

proptest! {
    #[test]
    fn text_without_braces_is_itself(text in "[^{]{0,60}") {
        prop_assert_eq!(render(&text), Ok(text));
    }

    #[test]
    fn no_template_makes_it_panic(
        template in "(\\PC|\\{\\{|\\}\\}|\\.Name|range |if |end|else|\\$x := |index |split |\"|\\(|\\)|\\||slice | 1| -1|\\.ContainerArgs|printf |%5d){0,24}",
    ) {
        let _text = render(&template);
    }
}
