// Reads a JSON list of KQL queries from stdin, writes the list of their query DSL to stdout; {"error": …} for one
// that cannot be parsed.
const { fromKueryExpression, toElasticsearchQuery } = require("@cybernetex/kbn-es-query");

const convert = (query) => {
  try {
    return toElasticsearchQuery(fromKueryExpression(query));
  } catch (error) {
    return { error: String(error.message) };
  }
};

const queries = JSON.parse(require("fs").readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(queries.map(convert)));
