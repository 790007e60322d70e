// Neo4j by its official driver, over Bolt.
import neo4j from "neo4j-driver";

const { GRAPHENEDB_BOLT_URL, GRAPHENEDB_BOLT_USER, GRAPHENEDB_BOLT_PASSWORD } = process.env;

const driver = GRAPHENEDB_BOLT_URL
  ? neo4j.driver(GRAPHENEDB_BOLT_URL, neo4j.auth.basic(GRAPHENEDB_BOLT_USER, GRAPHENEDB_BOLT_PASSWORD), {
      disableLosslessIntegers: true,
    })
  : null;

// visit writes a node for this visit and says how many there are.
export async function visit(release) {
  if (!driver) return "not attached";
  try {
    await driver.executeQuery("CREATE (:Visit {at: datetime(), release: $release})", { release });
    const { records } = await driver.executeQuery("MATCH (visit:Visit) RETURN count(visit) AS visits");
    return `${records[0].get("visits")} visits`;
  } catch (error) {
    return `error: ${error.message}`;
  }
}

export async function close() {
  await driver?.close();
}
