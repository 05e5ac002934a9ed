// The nearest neighbour of every airport, by a k-d tree over points on the unit sphere.
// Input: airports.csv. Result: {airports, neighbours: [[airport, its nearest, metres], ...], loneliest}, in file order.

const EARTH_RADIUS_M = 6371008.8;

// One line of CSV: fields may be quoted, and a doubled quote inside stands for one.
function fieldsOf(line) {
  const fields = [];
  let at = 0;
  while (at <= line.length) {
    let field = "";
    if (line[at] === '"') {
      for (;;) {
        const end = line.indexOf('"', at + 1);
        field += line.slice(at + 1, end);
        at = end + 1;
        if (line[at] !== '"') break;
        field += '"';
      }
    } else {
      const comma = line.indexOf(",", at);
      const end = comma < 0 ? line.length : comma;
      field = line.slice(at, end);
      at = end;
    }
    fields.push(field);
    at += 1;
  }
  return fields;
}

function readAirports(text) {
  const lines = text.split("\n");
  const header = fieldsOf(lines[0]);
  const [code, latitude, longitude] = ["icao", "lat", "lon"].map((name) => header.indexOf(name));
  const codes = [];
  const points = [];
  for (let n = 1; n < lines.length; n++) {
    if (lines[n] === "") continue;
    const fields = fieldsOf(lines[n]);
    const north = (Number(fields[latitude]) * Math.PI) / 180;
    const east = (Number(fields[longitude]) * Math.PI) / 180;
    codes.push(fields[code]);
    points.push(Math.cos(north) * Math.cos(east), Math.cos(north) * Math.sin(east), Math.sin(north));
  }
  return { codes, points: Float64Array.from(points) };
}

// Moves the point that belongs at `middle` by `axis` (then by its number) there, smaller ones before it: quickselect.
function select(order, points, low, high, middle, axis) {
  while (high - low > 1) {
    const pivot = order[(low + high) >> 1];
    const edge = points[3 * pivot + axis];
    let left = low;
    let right = high - 1;
    while (left <= right) {
      for (let p; (p = order[left]), points[3 * p + axis] < edge || (points[3 * p + axis] === edge && p < pivot); ) left++;
      for (let p; (p = order[right]), points[3 * p + axis] > edge || (points[3 * p + axis] === edge && p > pivot); ) right--;
      if (left <= right) {
        const swapped = order[left];
        order[left++] = order[right];
        order[right--] = swapped;
      }
    }
    if (middle <= right) high = right + 1;
    else if (middle >= left) low = left;
    else return;
  }
}

// Orders the part [low, high) of `order` so that its middle splits it by one coordinate, then each half by the next.
function buildTree(order, points, low, high, axis) {
  if (high - low < 2) return;
  const middle = (low + high) >> 1;
  select(order, points, low, high, middle, axis);
  buildTree(order, points, low, middle, (axis + 1) % 3);
  buildTree(order, points, middle + 1, high, (axis + 1) % 3);
}

// The nearest other point of `from`: the smallest squared chord, then the earliest in the file.
function nearest(order, points, from) {
  const target = [points[3 * from], points[3 * from + 1], points[3 * from + 2]];
  let best = -1;
  let bestSquare = Infinity;
  const visit = (low, high, axis) => {
    if (low >= high) return;
    const middle = (low + high) >> 1;
    const point = order[middle];
    if (point !== from) {
      const x = points[3 * point] - target[0];
      const y = points[3 * point + 1] - target[1];
      const z = points[3 * point + 2] - target[2];
      const square = x * x + y * y + z * z;
      if (square < bestSquare || (square === bestSquare && point < best)) {
        best = point;
        bestSquare = square;
      }
    }
    const gap = target[axis] - points[3 * point + axis];
    const next = (axis + 1) % 3;
    if (gap <= 0) visit(low, middle, next);
    else visit(middle + 1, high, next);
    if (gap * gap <= bestSquare) {
      if (gap <= 0) visit(middle + 1, high, next);
      else visit(low, middle, next);
    }
  };
  visit(0, order.length, 0);
  return [best, 2 * EARTH_RADIUS_M * Math.asin(Math.sqrt(bestSquare) / 2)];
}

export function main(heddle) {
  const { codes, points } = readAirports(heddle.inputText());
  heddle.progress(20, `${codes.length} airports read`);
  const order = Uint32Array.from(codes, (_, n) => n);
  buildTree(order, points, 0, order.length, 0);
  heddle.progress(40, "tree built");
  const neighbours = [];
  let loneliest = ["", "", -1];
  for (let n = 0; n < codes.length; n++) {
    const [other, metres] = nearest(order, points, n);
    const row = [codes[n], codes[other], Math.round(metres)];
    neighbours.push(row);
    if (row[2] > loneliest[2]) loneliest = row;
    if (n % 7000 === 6999) heddle.progress(40 + Math.floor((60 * n) / codes.length));
  }
  return { airports: codes.length, loneliest, neighbours };
}
