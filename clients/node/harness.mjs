// Runs the cases of one client program against every target and tells each outcome on a line of its own; `harness.py` is its twin.

export const CONFIG = JSON.parse(process.env.CLIENTS_CONFIG);
export const KEY = CONFIG.key;
export const DIRECT = CONFIG.direct;
export const PNG =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==';

const cases = [];

/** Registers a case; `needs` are features of the target. */
export function scenario(name, needs, work) {
  cases.push({ name, needs, work });
}

export function equal(found, expected, what = '') {
  const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${what}${what && ': '}expected ${b}, found ${a}`);
}

export function contains(found, expected, what = '') {
  if (!String(found ?? '').includes(expected)) {
    throw new Error(`${what}${what && ': '}expected ${JSON.stringify(expected)} in ${JSON.stringify(String(found).slice(0, 400))}`);
  }
}

/** Requests that reached the mock since the case began. */
export async function received() {
  return (await fetch(`${CONFIG.mock}/_mock/requests`)).json();
}

async function refused() {
  const rules = (await received()).filter((request) => request.refused && request.refused !== 'scripted');
  return rules.map((request) => `${request.provider} refused: ${request.refused}`).join(', ');
}

export function report(outcome, name, why = '') {
  console.log(`@case ${outcome} ${name}${why && '\t'}${why.replaceAll('\n', ' ').slice(0, 900)}`);
}

/** Runs every case with every target of this client that has what it needs. */
export async function run(program, wanted) {
  const targets = CONFIG.targets.filter((target) => target.clients.includes(wanted));
  for (const { name, needs, work } of cases) {
    for (const target of targets.filter((each) => needs.every((need) => each.features.includes(need)))) {
      const full = `${program}/${name}/${target.label}`;
      if (CONFIG.filters.length && !CONFIG.filters.some((part) => full.includes(part))) continue;
      await fetch(`${CONFIG.mock}/_mock/requests`, { method: 'DELETE' });
      try {
        await work(target);
        report('ok', full);
      } catch (error) {
        const rules = await refused();
        report('fail', full, `${error?.name}: ${error?.message}${error?.responseBody ? ` ${error.responseBody}` : ''}${rules && ` (${rules})`}`);
      }
    }
  }
}
