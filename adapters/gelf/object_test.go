package gelf

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"tallyman/collector/record"
)

func TestObject(t *testing.T) {
	// f compares what a line adds to the fields of its container, besides the text
	// and the level.
	f := func(line, short string, level float64, want map[string]any) {
		t.Helper()
		got := checkLegal(t, encode(t, mustEncoder(t, "udp", options{"json": "true"}), web(),
			record.Record{Line: []byte(line), Time: oneOClock}))
		if got["short_message"] != short || got["level"] != level {
			t.Errorf("%s: the text is %q, the level %v", line, got["short_message"], got["level"])
		}
		for name, value := range webFields() {
			if name != "short_message" && name != "level" && got[name] != value {
				t.Errorf("%s: %s is %v, want %v", line, name, got[name], value)
			}
			delete(got, name)
		}
		if want == nil {
			want = map[string]any{}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %v\nwant %v", line, got, want)
		}
	}
	type fields = map[string]any

	// What is not an object is a line.
	for _, line := range []string{"text", "{", "{}x", `{"a":1}{"b":2}`, "[1]", `"a"`, "null", "{a:1}", `{"a":1,}`} {
		f(line, line, 6, nil)
	}
	f(`{}`, `{}`, 6, nil)
	f(` {"message":"hi","level":"warn","user":"bo","n":1,"f":1.5} `, "hi", 4, fields{"_user": "bo", "_n": 1.0, "_f": 1.5})
	f(`{"msg":"hi","level":0}`, "hi", 0, nil)
	f(`{"msg":"hi","level":50,"pid":7}`, "hi", 3, fields{"_pid": 7.0})
	f(`{"msg":"hi","severity":"CRITICAL"}`, "hi", 2, nil)
	f(`{"msg":"hi","level":"odd"}`, "hi", 6, fields{"_level_": "odd"})
	f(`{"msg":"hi","level":99}`, "hi", 6, fields{"_level_": 99.0})
	f(`{"msg":"hi","level":25}`, "hi", 6, fields{"_level_": 25.0})
	f(`{"msg":"hi","level":[1]}`, "hi", 6, fields{"_level_": "[1]"})
	f(`{"short_message":"a","message":"b","msg":"c","full_message":"d"}`, "a", 6,
		fields{"full_message": "d", "_message_": "b", "_msg": "c"})
	f(`{"message":" ","x":1}`, `{"message":" ","x":1}`, 6, fields{"_message_": " ", "_x": 1.0})
	f(`{"msg":"m","yes":true,"no":false,"nil":null,"empty":"","none":{}}`, "m", 6, fields{"_yes": "true", "_no": "false"})
	f(`{"msg":"m","a":{"b":{"c":1},"d":"<x>"},"list":[1,"<x>",null]}`, "m", 6,
		fields{"_a_b_c": 1.0, "_a_d": "<x>", "_list": `[1,"<x>",null]`})
	// Nothing takes the place of what the agent says, or of another member.
	f(`{"msg":"m","container_id":"forged","_tag":"t","a b":1,"a_b":2,"id":3,"host":"h","timestamp":4}`, "m", 6,
		fields{"_container_id_": "forged", "_tag_": "t", "_a_b": 1.0, "_a_b_": 2.0, "_id_": 3.0, "_host_": "h", "_timestamp_": 4.0})
	f(`{"msg":"m","big":123456789012345678901234567890,"wide":1e999,"ok":-12e3}`, "m", 6,
		fields{"_big": "123456789012345678901234567890", "_wide": "1e999", "_ok": -12000.0})
	f(`{"msg":"m","long":"`+strings.Repeat("é", maxValue)+`"}`, "m", 6, fields{"_long": strings.Repeat("é", maxValue/2)})
	deep := strings.Repeat(`{"a":`, 20) + "1" + strings.Repeat("}", 20)
	f(deep, deep, 6, fields{"_" + strings.Repeat("a_", maxDepth-1) + "a": strings.Repeat(`{"a":`, 12) + "1" + strings.Repeat("}", 12)})

	// Too much of it is a line again.
	members := make([]string, maxMembers+1)
	for i := range members {
		members[i] = fmt.Sprintf(`"m%d":%d`, i, i)
	}
	many := "{" + strings.Join(members, ",") + "}"
	f(many, many, 6, nil)
	alike := `{"` + strings.Join([]string{" ", "!", "#", "$", "%", "&", "'", "(", ")"}, `a":1,"`) + `a":1}`
	f(alike, alike, 6, nil)
	long := `{"msg":"m","x":"` + strings.Repeat("x", 1000) + `"}`
	e := mustEncoder(t, "udp", options{"json": "true", "max_bytes": "1024"})
	got := checkLegal(t, encode(t, e, web(), record.Record{Line: []byte(long)}))
	if short := got["short_message"].(string); !strings.HasPrefix(long, short) || len(short) < 500 {
		t.Errorf("an object that is too long has the text %q", short)
	}
}

// A field has one type: what was a text stays one, and a text where a number was
// before has another name. Graylog's index loses a message otherwise.
func TestObjectsFieldsKeepTheirType(t *testing.T) {
	e := mustEncoder(t, "udp", options{"json": "true"})
	f := func(line string, want map[string]any) {
		t.Helper()
		got := checkLegal(t, encode(t, e, web(), record.Record{Line: []byte(line), Time: oneOClock}))
		for name := range webFields() {
			delete(got, name)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %v\nwant %v", line, got, want)
		}
	}
	type fields = map[string]any
	f(`{"status":200,"user":"bo"}`, fields{"_status": 200.0, "_user": "bo"})
	f(`{"status":"lost","user":7}`, fields{"_status_": "lost", "_user": "7"})
	f(`{"status":2.5,"user":"al"}`, fields{"_status": 2.5, "_user": "al"})
	f(`{"status":true}`, fields{"_status_": "true"})
	f(`{"status":123456789012345678901234567890}`, fields{"_status_": "123456789012345678901234567890"})
	f(`{"status_":1}`, fields{"_status_": "1"})
	// What is remembered has a bound.
	for i := range maxKinds + 10 {
		f(fmt.Sprintf(`{"n%d":1}`, i), fields{fmt.Sprintf("_n%d", i): 1.0})
	}
	if len(e.parser.numbers) != maxKinds {
		t.Errorf("%d names are remembered", len(e.parser.numbers))
	}
}

func FuzzObject(f *testing.F) {
	f.Add([]byte(`{"message":"m","level":"warn","a":{"b":[1,{"c":null}]},"_id":1.5e3,"":""}`))
	f.Add([]byte(`{"host":"\ud800","level":60,"a b":1,"a_b":true}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		e := mustEncoder(t, "udp", options{"json": "true", "blank": "send"})
		got := checkLegal(t, encode(t, e, web(), record.Record{Line: line, Time: oneOClock}))
		for name, value := range webFields() {
			if strings.HasPrefix(name, "_") && got[name] != value {
				t.Fatalf("%q replaces %s by %v", line, name, got[name])
			}
		}
	})
}
