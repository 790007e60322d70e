require "csv"

namespace :import do
  desc "Write the actors of db/actors.csv, and the films they are in, into Neo4j"
  task actors: :environment do
    abort "no Neo4j is attached: GRAPHENEDB_URL is not set" unless Graph.attached?

    rows = CSV.table(Rails.root.join("db/actors.csv")).map(&:to_h)
    count = Graph.query(<<~CYPHER, rows: rows).first.first
      UNWIND $rows AS row
      MERGE (actor:Actor {name: row.name}) SET actor.born = row.born
      MERGE (film:Film {title: row.film}) SET film.released = row.released
      MERGE (actor)-[:ACTED_IN]->(film)
      RETURN count(DISTINCT actor)
    CYPHER
    puts "imported #{count} actors"
  end
end
