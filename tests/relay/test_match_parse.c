/* SPDX-License-Identifier: MIT */
#include "../../transport/relay/match/match.h"
#include "check.h"

#include <errno.h>
#include <limits.h>

/* D-Bus specification, "Match Rules". Both tables are dbus-daemon 1.14's own answers to AddMatch. */

struct row {
    const char *text;
    const char *answer; /* the canonical text, or the error message */
};

/* clang-format off */
static const struct row accepted[] = {
    {"", ""},
    {" ", ""},
    {"type='signal'", "type='signal'"},
    {"type=signal", "type='signal'"},
    {"type='method_call'", "type='method_call'"},
    {"type='method_return'", "type='method_return'"},
    {"type='error'", "type='error'"},
    {"type='signal',", "type='signal'"},
    {"type='signal', ", "type='signal'"},
    {" type='signal'", "type='signal'"},
    {"\ttype='signal',", "type='signal'"},
    {"sender='org.a.b'", "sender='org.a.b'"},
    {"type ='signal'", "type='signal'"},
    {"='x'", ""},
    {"type='signal',='x',member='9'", "type='signal'"},
    {"='x',member='9", ""},
    {"type='sig''nal'", "type='signal'"},
    {"type=sig'nal'", "type='signal'"},
    {"arg0='it'\\''s'", "arg0='it'\\''s'"},
    {"arg0=it\\'s", "arg0='it'\\''s'"},
    {"arg0='a\\b'", "arg0='a\\b'"},
    {"arg0=a\\b", "arg0='a\\b'"},
    {"arg0=a\\", "arg0='a\\'"},
    {"arg0=\\\\", "arg0='\\\\'"},
    {"arg0='a,b'", "arg0='a,b'"},
    {"arg0=a b,arg1=c", "arg0='a b',arg1='c'"},
    {"arg0=,arg1=", "arg0='',arg1=''"},
    {"arg0=", "arg0=''"},
    {"arg+1='x'", "arg1='x'"},
    {"arg01='x'", "arg1='x'"},
    {"arg010='x'", "arg8='x'"},
    {"arg0x10='x'", "arg16='x'"},
    {"arg0x10path='/x'", "arg16path='/x'"},
    {"arg63='x'", "arg63='x'"},
    {"arg0path='/x'", "arg0path='/x'"},
    {"arg0path=''", "arg0path=''"},
    {"arg0path='not a path'", "arg0path='not a path'"},
    {"arg63path='/a/'", "arg63path='/a/'"},
    {"arg0namespace='a.b'", "arg0namespace='a.b'"},
    {"arg0namespace='a'", "arg0namespace='a'"},
    {"arg0namespace=':1.2'", "arg0namespace=':1.2'"},
    {"arg0namespace=':1'", "arg0namespace=':1'"},
    {"arg0namespace=':'", "arg0namespace=':'"},
    {"arg5='x',arg3='y'", "arg3='y',arg5='x'"},
    {"eavesdrop='true'", "eavesdrop='true'"},
    {"eavesdrop='false'", ""},
    {"eavesdrop='true',eavesdrop='false'", ""},
    {"eavesdrop='false',eavesdrop='true'", "eavesdrop='true'"},
    {"eavesdrop=true,destination=':1.5'", "destination=':1.5',eavesdrop='true'"},
    {"sender=':1.5'", "sender=':1.5'"},
    {"sender=':'", "sender=':'"},
    {"sender='org.a-b'", "sender='org.a-b'"},
    {"path='/'", "path='/'"},
    {"path_namespace='/'", "path_namespace='/'"},
    {"path_namespace='/a'", "path_namespace='/a'"},
    {"type='signal',interface='a.b',member='C',path='/d',sender='e.f',destination='g.h',eavesdrop='true',arg0='i',arg1path='j',arg2='k'", "type='signal',interface='a.b',member='C',path='/d',sender='e.f',destination='g.h',eavesdrop='true',arg0='i',arg1path='j',arg2='k'"},
    {"arg2='k',arg1path='j',arg0namespace='i',eavesdrop=true,destination='g.h',sender='e.f',path_namespace='/d',member='C',interface='a.b',type='signal'", "type='signal',interface='a.b',member='C',path_namespace='/d',sender='e.f',destination='g.h',eavesdrop='true',arg0namespace='i',arg1path='j',arg2='k'"},
    {"arg0=0,arg1=1,arg2=2,arg3=3,arg4=4,arg5=5,arg6=6,arg7=7,arg8=8,arg9=9,arg10=10,arg11=11,arg12=12,arg13=13,arg14=14,arg15=15", "arg0='0',arg1='1',arg2='2',arg3='3',arg4='4',arg5='5',arg6='6',arg7='7',arg8='8',arg9='9',arg10='10',arg11='11',arg12='12',arg13='13',arg14='14',arg15='15'"},
    {"arg0=0,arg1=1,arg2=2,arg3=3,arg4=4,arg5=5,arg6=6,arg7=7,arg8=8,arg9=9,arg10=10,arg11=11,arg12=12,arg13=13,arg14=14,arg15=15,arg16=16", "arg0='0',arg1='1',arg2='2',arg3='3',arg4='4',arg5='5',arg6='6',arg7='7',arg8='8',arg9='9',arg10='10',arg11='11',arg12='12',arg13='13',arg14='14',arg15='15'"},
    {"arg0=0,arg1=1,arg2=2,arg3=3,arg4=4,arg5=5,arg6=6,arg7=7,arg8=8,arg9=9,arg10=10,arg11=11,arg12=12,arg13=13,arg14=14,arg15=15,foo='unbalanced", "arg0='0',arg1='1',arg2='2',arg3='3',arg4='4',arg5='5',arg6='6',arg7='7',arg8='8',arg9='9',arg10='10',arg11='11',arg12='12',arg13='13',arg14='14',arg15='15'"},
    {"arg\v1='x'", "arg1='x'"},
    {"arg0='é'", "arg0='é'"},
    {"arg\f1path='/x'", "arg1path='/x'"},
};

static const struct row refused[] = {
    {"type='invalid'", "Invalid message type (invalid) in match rule\n"},
    {"type=''", "Invalid message type () in match rule\n"},
    {"type='Signal'", "Invalid message type (Signal) in match rule\n"},
    {"type='signal',,", "Match rule has a key with no subsequent '=' character"},
    {",type='signal'", "Unknown key \",type\" in match rule"},
    {"type= 'signal'", "Invalid message type ( signal) in match rule\n"},
    {"type='signal' ", "Invalid message type (signal ) in match rule\n"},
    {"type='signal' ,member='A'", "Invalid message type (signal ) in match rule\n"},
    {"type='signal',member='A' ", "Member name 'A ' is invalid\n"},
    {"type", "Match rule has a key with no subsequent '=' character"},
    {"type='signal',member", "Match rule has a key with no subsequent '=' character"},
    {"type 'signal'", "Match rule has a key with no subsequent '=' character"},
    {"type='signal", "Unbalanced quotation marks in match rule"},
    {"member='Foo\\'", "Member name 'Foo\\' is invalid\n"},
    {"member=Foo\\", "Member name 'Foo\\' is invalid\n"},
    {"member=Fo\\o", "Member name 'Fo\\o' is invalid\n"},
    {"arg0='it\\'s'", "Unbalanced quotation marks in match rule"},
    {"arg0=a\\\\'b", "Unbalanced quotation marks in match rule"},
    {"arg0", "Match rule has a key with no subsequent '=' character"},
    {"arg=", "Key 'arg' in match rule starts with 'arg' but lacks an arg number. Should be 'arg0' or 'arg7' for example.\n"},
    {"arg='x'", "Key 'arg' in match rule starts with 'arg' but lacks an arg number. Should be 'arg0' or 'arg7' for example.\n"},
    {"argx='x'", "Key 'argx' in match rule starts with 'arg' but could not parse arg number. Should be 'arg0' or 'arg7' for example.\n"},
#if ULONG_MAX > UINT32_MAX
    {"arg-1='x'", "Key 'arg-1' in match rule has arg number 18446744073709551615 but the maximum is 63.\n"},
    {"arg4294967296='x'", "Key 'arg4294967296' in match rule has arg number 4294967296 but the maximum is 63.\n"},
#else
    {"arg-1='x'", "Key 'arg-1' in match rule has arg number 4294967295 but the maximum is 63.\n"},
    {"arg4294967296='x'", "Key 'arg4294967296' in match rule starts with 'arg' but could not parse arg number. Should be 'arg0' or 'arg7' for example.\n"},
#endif
    {"arg08='x'", "Key 'arg08' in match rule contains junk after argument number (0). Only 'arg0path' (for example) or 'arg0namespace' are valid"},
    {"arg64='x'", "Key 'arg64' in match rule has arg number 64 but the maximum is 63.\n"},
    {"arg64path='x'", "Key 'arg64path' in match rule has arg number 64 but the maximum is 63.\n"},
    {"arg64foo='x'", "Key 'arg64foo' in match rule contains junk after argument number (64). Only 'arg64path' (for example) or 'arg0namespace' are valid"},
    {"arg99999999999999999999999='x'", "Key 'arg99999999999999999999999' in match rule starts with 'arg' but could not parse arg number. Should be 'arg0' or 'arg7' for example.\n"},
    {"arg0pathx='/x'", "Key 'arg0pathx' in match rule contains junk after argument number (0). Only 'arg0path' (for example) or 'arg0namespace' are valid"},
    {"arg0Path='/x'", "Key 'arg0Path' in match rule contains junk after argument number (0). Only 'arg0path' (for example) or 'arg0namespace' are valid"},
    {"arg1namespace='a.b'", "Key 'arg1namespace' in match rule contains junk after argument number (1). Only 'arg1path' (for example) or 'arg0namespace' are valid"},
    {"arg0namespace=''", "arg0namespace='' is not a valid prefix of a bus name"},
    {"arg0namespace='a..b'", "arg0namespace='a..b' is not a valid prefix of a bus name"},
    {"arg0namespace='a.'", "arg0namespace='a.' is not a valid prefix of a bus name"},
    {"arg00namespace='a'", "Key 'arg00namespace' in match rule contains junk after argument number (0). Only 'arg0path' (for example) or 'arg0namespace' are valid"},
    {"arg0='x',arg0='y'", "Argument arg0 matched more than once in match rule\n"},
    {"arg0='x',arg0path='/y'", "Argument arg0path matched more than once in match rule\n"},
    {"arg0='x',arg00='y'", "Argument arg00 matched more than once in match rule\n"},
    {"arg0='x',arg0namespace='y'", "Argument arg0namespace matched more than once in match rule\n"},
    {"type='signal',type='signal'", "Key type specified twice in match rule\n"},
    {"sender='a.b',sender='a.b'", "Key sender specified twice in match rule\n"},
    {"interface='a.b',interface='a.c'", "Key interface specified twice in match rule\n"},
    {"member='A',member='B'", "Key member specified twice in match rule\n"},
    {"path='/a',path='/b'", "path or path_namespace specified twice in match rule\n"},
    {"path='/a',path_namespace='/b'", "path or path_namespace specified twice in match rule\n"},
    {"path_namespace='/a',path='/b'", "path or path_namespace specified twice in match rule\n"},
    {"destination='a.b',destination='a.c'", "Key destination specified twice in match rule\n"},
    {"eavesdrop='yes'", "eavesdrop='yes' is invalid, it should be 'true' or 'false'\n"},
    {"eavesdrop=''", "eavesdrop='' is invalid, it should be 'true' or 'false'\n"},
    {"sender=''", "Sender name '' is invalid\n"},
    {"sender='a'", "Sender name 'a' is invalid\n"},
    {"sender='org..a'", "Sender name 'org..a' is invalid\n"},
    {"sender='org.1a'", "Sender name 'org.1a' is invalid\n"},
    {"interface='a'", "Interface name 'a' is invalid\n"},
    {"interface='a.b-c'", "Interface name 'a.b-c' is invalid\n"},
    {"interface=''", "Interface name '' is invalid\n"},
    {"member='a.b'", "Member name 'a.b' is invalid\n"},
    {"member=''", "Member name '' is invalid\n"},
    {"member='1a'", "Member name '1a' is invalid\n"},
    {"path='a'", "Path 'a' is invalid\n"},
    {"path='/a/'", "Path '/a/' is invalid\n"},
    {"path=''", "Path '' is invalid\n"},
    {"path_namespace='/a/'", "Path '/a/' is invalid\n"},
    {"destination='a'", "Destination name 'a' is invalid\n"},
    {"foo='bar'", "Unknown key \"foo\" in match rule"},
    {"foo=\"bar\"", "Unknown key \"foo\" in match rule"},
    {"Type='signal'", "Unknown key \"Type\" in match rule"},
    {"bytecode='x'", "Unknown key \"bytecode\" in match rule"},
    {"foo='x',type='unbalanced", "Unbalanced quotation marks in match rule"},
    {"arg0=1,arg0 x=2", "Match rule has a key with no subsequent '=' character"},
    {"type\n=\nsignal", "Invalid message type (\nsignal) in match rule\n"},
    {"type\t=signal\t,\tmember=A", "Invalid message type (signal\t) in match rule\n"},
};
/* clang-format on */

static struct match_rule *parse(const char *text)
{
    char why[2048];
    struct match_rule *rule;
    return match_rule_parse(span_of(text), &rule, why, sizeof(why)) == 0 ? rule : NULL;
}

static void accepts_what_the_reference_accepts(void)
{
    for (size_t i = 0; i < CHECK_COUNT(accepted); i++) {
        check_case = accepted[i].text;
        struct match_rule *rule = parse(accepted[i].text);
        REQUIRE(rule);
        char text[4096];
        CHECK_EQUAL(match_rule_text(rule, text, sizeof(text)), strlen(accepted[i].answer));
        CHECK_SPAN(span_of(text), accepted[i].answer);
        match_rule_free(rule);
    }
}

static void refuses_what_the_reference_refuses_in_its_words(void)
{
    for (size_t i = 0; i < CHECK_COUNT(refused); i++) {
        check_case = refused[i].text;
        char why[2048];
        struct match_rule *rule;
        CHECK_EQUAL(match_rule_parse(span_of(refused[i].text), &rule, why, sizeof(why)), -EINVAL);
        CHECK_SPAN(span_of(why), refused[i].answer);
        CHECK(!rule);
    }
}

static void limits_the_length_of_a_rule(void)
{
    char text[1026], why[128];
    struct match_rule *rule;
    memset(text, 'x', sizeof(text));
    memcpy(text, "arg0=", 5);
    CHECK_EQUAL(match_rule_parse((struct span){text, 1024}, &rule, why, sizeof(why)), 0);
    match_rule_free(rule);
    CHECK_EQUAL(match_rule_parse((struct span){text, 1025}, &rule, why, sizeof(why)), -E2BIG);
    CHECK_SPAN(span_of(why), "Match rule text is 1025 bytes, maximum is 1024");
    CHECK(!rule);
}

static void long_reason_is_truncated(void)
{
    char why[8];
    struct match_rule *rule;
    CHECK_EQUAL(match_rule_parse(SPAN("foo='bar'"), &rule, why, sizeof(why)), -EINVAL);
    CHECK_SPAN(span_of(why), "Unknown");
}

static void long_text_is_truncated(void)
{
    struct match_rule *rule = parse("member=A");
    REQUIRE(rule);
    char text[8] = "zzzzzzz";
    CHECK_EQUAL(match_rule_text(rule, NULL, 0), 10);
    CHECK_EQUAL(match_rule_text(rule, text, 1), 10);
    CHECK_SPAN(span_of(text), "");
    CHECK_EQUAL(match_rule_text(rule, text, 4), 10);
    CHECK_SPAN(span_of(text), "mem");
    CHECK_EQUAL(text[4], 'z');
    match_rule_free(rule);
}

static void missing_text_is_an_empty_rule(void)
{
    char why[64];
    struct match_rule *rule;
    CHECK_EQUAL(match_rule_parse((struct span){0}, &rule, why, sizeof(why)), 0);
    CHECK_EQUAL(match_rule_text(rule, NULL, 0), 0);
    match_rule_free(rule);
    match_rule_free(NULL);
}

static const struct {
    const char *a, *b;
    bool equal;
} pairs[] = {
    {"", " ", true},
    {"", "type=signal", false},
    {"type=signal", "type='signal',", true},
    {"type=signal", "type=error", false},
    {"member=A,interface=a.b", "interface='a.b',member='A'", true},
    {"member=A", "member=AA", false},
    {"path=/a", "path_namespace=/a", false},
    {"arg0=a", "arg1=a", false},
    {"arg0=a", "arg0path=a", false},
    {"arg0=a.b", "arg0namespace=a.b", false},
    {"arg0=a", "arg0x0=a", true},
    {"sender=a.b", "destination=a.b", false},
    {"eavesdrop=false", "", true},
    {"eavesdrop=true", "", false},
};

static void rules_are_compared_by_meaning(void)
{
    for (size_t i = 0; i < CHECK_COUNT(pairs); i++) {
        check_case = pairs[i].a;
        struct match_rule *a = parse(pairs[i].a), *b = parse(pairs[i].b);
        CHECK(a && b && match_rule_equal(a, b) == pairs[i].equal && match_rule_equal(b, a) == pairs[i].equal);
        match_rule_free(a);
        match_rule_free(b);
    }
}

static void eavesdropping_rules_are_recognized(void)
{
    struct match_rule *a = parse("eavesdrop=true,member=A"), *b = parse("member=A");
    REQUIRE(a && b);
    CHECK(match_rule_eavesdrops(a) && !match_rule_eavesdrops(b));
    match_rule_set_eavesdrop(b);
    CHECK(match_rule_eavesdrops(b) && match_rule_equal(a, b));
    match_rule_free(a);
    match_rule_free(b);
}

static void rule_takes_little_memory(void)
{
    struct match_rule *rule = parse("type=signal,sender=org.example.Name,path=/org/example/Object");
    CHECK(match_rule_memory(rule) < 320);
    match_rule_free(rule);
}

static const struct check_test tests[] = {
    TEST(accepts_what_the_reference_accepts),
    TEST(refuses_what_the_reference_refuses_in_its_words),
    TEST(limits_the_length_of_a_rule),
    TEST(long_reason_is_truncated),
    TEST(long_text_is_truncated),
    TEST(missing_text_is_an_empty_rule),
    TEST(rules_are_compared_by_meaning),
    TEST(eavesdropping_rules_are_recognized),
    TEST(rule_takes_little_memory),
};
CHECK_MAIN(tests)
