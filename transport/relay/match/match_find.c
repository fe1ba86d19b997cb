/* SPDX-License-Identifier: MIT */
#include "match/match_internal.h"

/*
 * For every key of a rule only a few symbols can match a given message: its choices. Most keys have one or
 * none; there are more if prefixes match or if the sender owns names. Choices are computed when a shape first
 * needs them. A shape without a choice for one of its keys is skipped; otherwise each combination of choices
 * is looked up among the patterns, and every pattern found matches.
 */

#define POOL_SIZE 256u
#define CHOICE_STEP 64u /* bytes of a looked-up text that cost one step */
#define LENGTH_WORDS (sizeof(struct match_lengths) / sizeof(uint64_t))

struct choices {
    uint16_t first, n; /* in the pool */
    bool unbounded;    /* too many choices to list */
};

struct search {
    const struct match_index *index;
    const struct match_subject *subject;
    match_visit visit;
    void *context;
    uint64_t steps;

    uint64_t known[(KEY_COUNT + 63) / 64]; /* the keys whose choices are computed */
    struct choices choices[KEY_COUNT];
    struct symbol *pool[POOL_SIZE];
    uint16_t pool_used;

    struct message_args args; /* read as far as needed */
    uint16_t n_args;
    bool args_end;
    struct message_arg arg[MESSAGE_MAX_MATCH_ARGS];
};

static void add_choice(struct search *search, struct choices *choices, struct symbol *symbol)
{
    if (search->pool_used == POOL_SIZE) {
        choices->unbounded = true;
        return;
    }
    search->pool[search->pool_used++] = symbol;
    choices->n++;
}

static void match_find_choose(struct search *search, struct choices *choices, struct span text)
{
    search->steps += 1 + text.n / CHOICE_STEP;
    struct symbol *symbol = symbols_find(&search->index->symbols, text);
    if (symbol)
        add_choice(search, choices, symbol);
}

/* A peer with too many names to look each one up is compared with the rules, which are usually fewer. */
static void choose_names(struct search *search, struct choices *choices, const struct span *names, uint32_t n,
                         bool more)
{
    choices->unbounded = more;
    for (uint32_t i = 0; i < n && !choices->unbounded; i++)
        match_find_choose(search, choices, names[i]);
}

/*
 * True if a value of length n that the text begins with is a prefix in the sense of the key; n is at most
 * text.n.
 */
static bool is_prefix(uint8_t key, struct span text, uint32_t n)
{
    if (n == text.n)
        return true;
    if (key == KEY_PATH_NAMESPACE)
        return n == 1 || text.s[n] == '/'; /* every path is below "/" */
    if (match_arg_kind(key) == ARG_PATH)
        return n > 0 && text.s[n - 1] == '/';
    return text.s[n] == '.';
}

static void choose_prefixes(struct search *search, struct choices *choices, uint8_t key,
                            const struct match_lengths *lengths, struct span text)
{
    for (uint32_t word = 0; word < LENGTH_WORDS && word <= text.n / 64; word++) {
        for (uint64_t bits = lengths->bits[word]; bits; bits &= bits - 1) {
            uint32_t n = word * 64 + (uint32_t)__builtin_ctzll(bits);
            if (n > text.n || choices->unbounded)
                return;
            if (is_prefix(key, text, n))
                match_find_choose(search, choices, (struct span){text.s, n});
        }
    }
}

/* Adds the values below a text that ends in '/'; the text itself is among its prefixes. */
static void choose_below(struct search *search, struct choices *choices, struct span text)
{
    const struct match_paths *paths = &search->index->paths;
    struct match_path *path = match_paths_first(paths, text);
    for (; path && !choices->unbounded; path = match_paths_next(paths, path, text)) {
        if (path->value->size > text.n)
            add_choice(search, choices, path->value);
    }
}

static void choose_destination(struct search *search, struct choices *choices)
{
    const struct match_subject *subject = search->subject;
    if (!subject->eavesdropping)
        return;
    if (subject->n_recipient_names)
        choose_names(search, choices, subject->recipient_names, subject->n_recipient_names,
                     subject->recipient != NULL);
    else
        match_find_choose(search, choices, subject->m->destination);
}

/* NULL: the message has no such argument. */
static const struct message_arg *argument(struct search *search, unsigned number)
{
    if (search->n_args == 0 && !search->args_end)
        message_args_begin(&search->args, search->subject->m);
    while (search->n_args <= number && !search->args_end) {
        if (message_args_next(&search->args, &search->arg[search->n_args]))
            search->n_args++;
        else
            search->args_end = true;
    }
    return number < search->n_args ? &search->arg[number] : NULL;
}

static void choose_arg(struct search *search, struct choices *choices, uint8_t key)
{
    const struct message_arg *arg = argument(search, match_arg_number(key));
    const struct match_index *index = search->index;
    enum match_arg_kind kind = match_arg_kind(key);
    if (!arg || (arg->type != 's' && (arg->type != 'o' || kind != ARG_PATH)))
        return;
    switch (kind) {
    case ARG_STRING:
        match_find_choose(search, choices, arg->text);
        break;
    case ARG_PATH:
        choose_prefixes(search, choices, key, &index->arg_paths, arg->text);
        if (arg->text.n && arg->text.s[arg->text.n - 1] == '/')
            choose_below(search, choices, arg->text);
        break;
    case ARG_NAMESPACE:
        choose_prefixes(search, choices, key, &index->arg_namespaces, arg->text);
        break;
    }
}

_Static_assert(KEY_ARGS == 6, "each key needs a case here");

static void make_choices(struct search *search, struct choices *choices, uint8_t key)
{
    const struct match_subject *subject = search->subject;
    *choices = (struct choices){.first = search->pool_used};
    switch (key) {
    case KEY_INTERFACE:
        match_find_choose(search, choices, subject->m->interface);
        break;
    case KEY_MEMBER:
        match_find_choose(search, choices, subject->m->member);
        break;
    case KEY_PATH:
        match_find_choose(search, choices, subject->m->path);
        break;
    case KEY_PATH_NAMESPACE:
        if (subject->m->path.s)
            choose_prefixes(search, choices, key, &search->index->path_namespaces, subject->m->path);
        break;
    case KEY_SENDER:
        choose_names(search, choices, subject->sender_names, subject->n_sender_names,
                     subject->sender != NULL);
        break;
    case KEY_DESTINATION:
        choose_destination(search, choices);
        break;
    default:
        choose_arg(search, choices, key);
    }
}

static const struct choices *choices_for(struct search *search, uint8_t key)
{
    struct choices *choices = &search->choices[key];
    if (!(search->known[key / 64] >> (key % 64) & 1)) {
        search->known[key / 64] |= UINT64_C(1) << (key % 64);
        make_choices(search, choices, key);
    }
    return choices;
}

static void visit_rules(struct search *search, const struct match_pattern *pattern)
{
    LIST_FOR (at, &pattern->rules) {
        void *owner = CONTAINER_OF(at, struct match_rule, in_pattern)->list->owner;
        search->steps++;
        if (owner)
            search->visit(search->context, owner);
    }
}

/* Compares the patterns one by one, if there are more combinations than patterns. */
static void visit_shape(struct search *search, const struct match_shape *shape)
{
    LIST_FOR (at, &shape->patterns) {
        search->steps++;
        const struct match_pattern *pattern = CONTAINER_OF(at, struct match_pattern, in_shape);
        if (match_pattern_matches(pattern, search->subject))
            visit_rules(search, pattern);
    }
}

/* Visits every combination of choices for the keys from i on; values and hash cover the keys before. */
static void visit_combinations(struct search *search, const struct match_shape *shape, unsigned i,
                               struct symbol **values, struct hash hash)
{
    search->steps++;
    if (i == shape->form.n) {
        const struct match_pattern *pattern = match_index_pattern(search->index, shape, values, hash);
        if (pattern)
            visit_rules(search, pattern);
        return;
    }
    const struct choices *choices = &search->choices[shape->form.keys[i]];
    for (unsigned c = 0; c < choices->n; c++) {
        values[i] = search->pool[choices->first + c];
        visit_combinations(search, shape, i + 1, values, match_hash_next(search->index, hash, values[i]));
    }
}

static void search_shape(struct search *search, const struct match_shape *shape)
{
    struct symbol *values[MATCH_MAX_KEYS];
    search->steps++;
    uint64_t combinations = 1; /* stays below 2^32 * POOL_SIZE, as it may not exceed count */
    for (unsigned i = 0; i < shape->form.n; i++) {
        const struct choices *choices = choices_for(search, shape->form.keys[i]);
        if (choices->n == 0 && !choices->unbounded)
            return;
        combinations = choices->unbounded ? UINT32_MAX : combinations * choices->n;
        if (combinations > shape->count)
            combinations = (uint64_t)shape->count + 1;
    }
    if (combinations > shape->count)
        visit_shape(search, shape);
    else
        visit_combinations(search, shape, 0, values, match_hash_start(shape));
}

uint64_t match_index_find(struct match_index *index, const struct match_subject *subject, match_visit visit,
                          void *context)
{
    struct search
        search; /* large and mostly unused, so only the fields that are read first are initialized */
    if (subject->eavesdropping && index->eavesdroppers == 0)
        return 0;
    search.steps = 0;
    search.index = index;
    search.subject = subject;
    search.visit = visit;
    search.context = context;
    memset(search.known, 0, sizeof(search.known));
    search.pool_used = 0;
    search.n_args = 0;
    search.args_end = false;
    LIST_FOR (at, &index->order) {
        const struct match_shape *shape = CONTAINER_OF(at, struct match_shape, in_index);
        if (shape->form.type && shape->form.type != subject->m->type)
            continue;
        if (subject->eavesdropping && !shape->form.eavesdrop)
            continue;
        search_shape(&search, shape);
    }
    return search.steps;
}
