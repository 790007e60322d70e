desc "Prepare Neo4j for this release: runs before the new processes start"
task release: :environment do
  if Graph.attached?
    Graph.query("CREATE CONSTRAINT actor_name IF NOT EXISTS FOR (actor:Actor) REQUIRE actor.name IS UNIQUE")
    puts "release: Neo4j is ready"
  else
    puts "release: no Neo4j is attached, nothing to prepare"
  end
end
