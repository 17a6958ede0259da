import Apus

print("Hello, world.")
