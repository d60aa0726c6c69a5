// The checks of a client program: each runs by itself, and says in one JSON line what it saw or what went wrong.

export const settings = JSON.parse(process.argv[2]);

export async function check(name, run) {
  let line;
  try {
    line = { check: name, saw: await run() };
  } catch (error) {
    line = { check: name, error: `${error?.stack ?? error}\n${error?.responseBody ?? ""}` };
  }
  console.log(JSON.stringify(line));
}

// What `ask` throws, as its callers could catch it.
export async function thrown(ask) {
  try {
    await ask();
  } catch (error) {
    const { status = error.statusCode, requestID } = error;
    return { kind: error.constructor.name, status, requestID, text: String(error.message) };
  }
  return { kind: null, text: "nothing was thrown" };
}
