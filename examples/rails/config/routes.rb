Rails.application.routes.draw do
  root "home#index"
  get "/up", to: "home#up"
  mount ActionCable.server => "/cable"
end
