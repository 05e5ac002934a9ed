/* The ten closest pairs of airports, by a grid of cubes around the unit sphere.
 *
 * Input: airports.csv. Result: [["code","code",metres to one decimal], ...] by distance, then by the codes; in a pair
 * the smaller code stands first. Two airports within one cell's edge of each other lie in the same cell or in
 * neighbouring ones, so if the tenth pair found is no farther apart than that, no closer one can be missing.
 */
#include <math.h>
#include <stdio.h>

#include "heddle.h"

#define EARTH_RADIUS_M 6371008.8
#define AIRPORTS_MAX 65536
#define PAIRS 10
#define CELLS_PER_AXIS 2048 /* an edge of 2/2048 of the radius: 6.2 km */
#define BUCKETS 65536
#define COLUMNS_MAX 32
#define CODE_BYTES 12

typedef struct {
    char code[CODE_BYTES];
    double x, y, z;
    int cell[3];
    int next; /* in the same bucket */
} airport;

typedef struct {
    double chord_square;
    int first, second;
} pair;

static airport airports[AIRPORTS_MAX];
static int airport_count;
static int buckets[BUCKETS];
static pair best[PAIRS + 1];
static int best_count;

/* Cuts one line into fields in place, quotes removed; returns the start of the next line. */
static char *cut_line(char *at, char **fields, int *count)
{
    *count = 0;
    for (;;) {
        char *write = at;
        if (*count < COLUMNS_MAX)
            fields[(*count)++] = at;
        if (*at == '"') {
            for (at++; *at && !(*at == '"' && at[1] != '"'); at++) {
                if (*at == '"')
                    at++;
                *write++ = *at;
            }
            if (*at)
                at++;
        } else {
            while (*at && *at != ',' && *at != '\n')
                *write++ = *at++;
        }
        char end = *at;
        *write = 0;
        if (end)
            at++;
        if (end != ',')
            return at;
    }
}

static int column(char **header, int count, const char *name)
{
    for (int n = 0; n < count; n++)
        if (strcmp(header[n], name) == 0)
            return n;
    heddle_fail("2 the input lacks a column");
    return -1;
}

static int cell_of(double coordinate)
{
    return (int)floor((coordinate + 1.0) * (CELLS_PER_AXIS / 2));
}

static unsigned bucket_of(int x, int y, int z)
{
    unsigned hash = (unsigned)x * 73856093u ^ (unsigned)y * 19349663u ^ (unsigned)z * 83492791u;
    return (hash ^ hash >> 15) % BUCKETS;
}

static void add_airport(const char *code, double north, double east)
{
    if (airport_count == AIRPORTS_MAX || strlen(code) >= CODE_BYTES)
        heddle_fail("3 the input passes a limit");
    airport *new = &airports[airport_count];
    strcpy(new->code, code);
    north *= M_PI / 180;
    east *= M_PI / 180;
    new->x = cos(north) * cos(east);
    new->y = cos(north) * sin(east);
    new->z = sin(north);
    new->cell[0] = cell_of(new->x);
    new->cell[1] = cell_of(new->y);
    new->cell[2] = cell_of(new->z);
    unsigned bucket = bucket_of(new->cell[0], new->cell[1], new->cell[2]);
    new->next = buckets[bucket];
    buckets[bucket] = airport_count++;
}

static int before(const pair *a, const pair *b)
{
    if (a->chord_square != b->chord_square)
        return a->chord_square < b->chord_square;
    int order = strcmp(airports[a->first].code, airports[b->first].code);
    return order ? order < 0 : strcmp(airports[a->second].code, airports[b->second].code) < 0;
}

static void consider(int one, int other)
{
    double x = airports[one].x - airports[other].x, y = airports[one].y - airports[other].y,
           z = airports[one].z - airports[other].z;
    pair found = {x * x + y * y + z * z, one, other};
    if (strcmp(airports[one].code, airports[other].code) > 0) {
        found.first = other;
        found.second = one;
    }
    int at = best_count;
    while (at > 0 && before(&found, &best[at - 1])) {
        best[at] = best[at - 1];
        at--;
    }
    if (at < PAIRS) {
        best[at] = found;
        if (best_count < PAIRS)
            best_count++;
    }
}

/* Pairs of `one` with the airports before it, in its cell and the 26 around. */
static void search_around(int one)
{
    const int *cell = airports[one].cell;
    for (int step = 0; step < 27; step++) {
        int x = cell[0] + step % 3 - 1, y = cell[1] + step / 3 % 3 - 1, z = cell[2] + step / 9 - 1;
        for (int other = buckets[bucket_of(x, y, z)]; other >= 0; other = airports[other].next) {
            const int *there = airports[other].cell;
            if (other < one && there[0] == x && there[1] == y && there[2] == z)
                consider(one, other);
        }
    }
}

static void read_airports(char *text)
{
    char *fields[COLUMNS_MAX];
    int count;
    text = cut_line(text, fields, &count);
    int code = column(fields, count, "icao"), north = column(fields, count, "lat"), east = column(fields, count, "lon");
    while (*text) {
        text = cut_line(text, fields, &count);
        if (count > code && count > north && count > east)
            add_airport(fields[code], strtod(fields[north], NULL), strtod(fields[east], NULL));
    }
}

__attribute__((export_name("run"))) int run(void)
{
    memset(buckets, 0xff, sizeof buckets);
    heddle_answer input = heddle_call("input", "", 0);
    if (!input.bytes)
        return 1;
    read_airports((char *)input.bytes);
    heddle_request("progress", 8, "30 read", 7);
    for (int one = 0; one < airport_count; one++)
        search_around(one);
    double edge = 2.0 / CELLS_PER_AXIS;
    if (best_count < PAIRS || best[PAIRS - 1].chord_square > edge * edge)
        heddle_fail("4 the grid is too fine for this input");
    for (int n = 0; n < PAIRS; n++) {
        char row[96];
        double metres = 2 * EARTH_RADIUS_M * asin(sqrt(best[n].chord_square) / 2);
        int length = snprintf(row, sizeof row, "%s[\"%s\",\"%s\",%.1f]", n ? "," : "[", airports[best[n].first].code,
                              airports[best[n].second].code, metres);
        heddle_output(row, (uint32_t)length);
    }
    heddle_output("]", 1);
    return 0;
}
